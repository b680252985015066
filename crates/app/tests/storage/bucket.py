"""A server of moto, in whose bucket everybody may do everything, or with `--auth` only the key that is printed. It ends with its input; a line of it
that says `remove` removes the bucket with all that is in it, and is answered with one."""

import json
import os
import sys

has_auth = "--auth" in sys.argv
if has_auth:
    # What is done below; the next one is asked who it is.
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
told = {"port": port, "key": "test", "secret": "test"}
with_url = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
s3 = boto3.client("s3", **with_url)
s3.create_bucket(Bucket="bucket")
if has_auth:
    iam = boto3.client("iam", **with_url)
    iam.create_user(UserName="freehold")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="freehold", PolicyName="s3", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName="freehold")["AccessKey"]
    told |= {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
print(json.dumps(told), flush=True)
for line in sys.stdin:
    if line.strip() == "remove":
        for object in s3.list_objects_v2(Bucket="bucket").get("Contents", []):
            s3.delete_object(Bucket="bucket", Key=object["Key"])
        s3.delete_bucket(Bucket="bucket")
        print("removed", flush=True)
