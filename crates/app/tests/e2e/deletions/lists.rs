//! Lists of ids from other people's programs: read as what they say, or refused whole.

use reqwest::{Method, RequestBuilder, StatusCode, header as names};
use serde_json::json;

use super::purges::{ids, left, populate};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::refused;

fn listed(server: &Server, organization: &Organization, query: &str, kind: &str, list: Vec<u8>) -> RequestBuilder {
    let path = format!("/api/organizations/{}/customers:purge{query}", organization.id);
    server.request(Method::POST, &path).bearer_auth(&organization.owner.token).header(names::CONTENT_TYPE, kind).body(list)
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(bytes).collect()
}

on_both_engines! {
    async fn a_list_is_read_as_its_spreadsheet_saved_it_or_refused_with_the_line(server: Server) {
        let organization = server.new_organization().await;
        populate(&server, &organization, &ids(0..3), json!({})).await;
        let table = "sep=;\r\nName;Customer ID;\r\nJos\u{e9};=\"customer-000\";\r\n\"a;b\";\"customer-002\";\r\n;;\r\n";
        let readable: [(&str, Vec<u8>); 5] = [
            ("text/csv", b"\xef\xbb\xbfid,\r\ncustomer-000,\r\ncustomer-002,\r\n,\r\n".to_vec()),
            ("text/csv; charset=utf-8", b"customer-000\rcustomer-002\r".to_vec()),
            ("text/csv; charset=\"UTF-8\"; header=present", table.into()),
            ("text/csv; charset=utf-16", utf16(table, u16::to_le_bytes)),
            ("Text/CSV", utf16(&table.replace("sep=;\r\n", "").replace(';', "\t"), u16::to_be_bytes)),
        ];
        for (kind, list) in readable {
            let plan = expect(listed(&server, &organization, "", kind, list), StatusCode::OK).await;
            assert_eq!((&plan["count"], &plan["sample"]), (&json!(2), &json!(["customer-000", "customer-002"])), "{kind}");
        }
        let unreadable: [(Vec<u8>, usize); 6] = [
            (b"customer-000\ncustomer-001,Ada\n".to_vec(), 2),
            (b"customer-000\n\"customer-001\n".to_vec(), 2),
            (b"id\ncustomer-000\ncustomer 001\n".to_vec(), 3),
            (b"id;name\ncustomer-000;Andr\xe9\n".to_vec(), 2),
            (b"id\ncustomer-000,1\n".to_vec(), 2),
            (b"customer-000\n../etc\n".to_vec(), 2),
        ];
        for (list, line) in unreadable {
            let problem = refused(listed(&server, &organization, "?force=true", "text/csv", list.clone()), StatusCode::BAD_REQUEST).await;
            let words = problem["detail"].as_str().unwrap();
            assert!(words.starts_with(&format!("Line {line} of the list ")), "{}: {words}", String::from_utf8_lossy(&list));
        }
        let kind = "text/csv; charset=windows-1252";
        refused(listed(&server, &organization, "?force=true", kind, b"customer-000".to_vec()), StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
        assert_eq!(left(&server, &organization).await, ids(0..3));
    }
}
