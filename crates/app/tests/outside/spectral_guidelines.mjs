// IBM's API guidelines, as Spectral's rules: of those that a document must not break, all but `OFF`, and some others.

import guidelines from "@ibm-cloud/openapi-ruleset";

const OFF = {
  "ibm-enum-casing-convention": "Names are what clients of this API have always sent and read: events have dots, scopes have colons.",
  "ibm-parameter-casing-convention": "Names are what clients have always sent: two surfaces have them in camel case, one in snake case.",
  "ibm-path-segment-casing-convention": "Addresses are what clients have always asked: words are joined by hyphens.",
  "ibm-property-casing-convention": "Names are what clients have always sent and read: two surfaces have them in camel case, one in snake case.",
  "ibm-accept-and-return-models": "The answers without fields are the OpenAPI documents themselves.",
  "ibm-etag-header": "An action such as `archive` has an address of its own and compares the `ETag` of the record that it acts on.",
  "ibm-precondition-headers": "What 412 speaks of can be a parameter, too: the plan of a deletion, the count of a purge.",
  "ibm-integer-attributes": "An amount has all 64 bits, and the document says so.",
  "ibm-no-array-responses": "Clients have always read these two short lists without an envelope.",
  "ibm-no-unsupported-keywords": "The webhooks of OpenAPI 3.1 are what tells receivers of deliveries what they get.",
  "ibm-required-array-properties-in-response": "An error has a list only where it has something to say in it (RFC 9457, section 3.2).",
  "ibm-required-enum-properties-in-response": "A token that is not active has no type (RFC 7662, section 2.2).",
  "ibm-schema-keywords": "JSON Schema 2020-12, which OpenAPI 3.1 uses, has `propertyNames`; the server holds metadata against it.",
  "ibm-schema-type-format": "Formats are open (JSON Schema 2020-12, Validation, section 7): addresses are `uri`, short ids `shortuuid`.",
  "ibm-unique-parameter-request-property-names": "A purge by a list of ids, which has no room for more, takes in its address what JSON says in the body.",
  "no-$ref-siblings": "OpenAPI 3.1 allows a description beside `$ref`, and Spectral's own rule is for 3.0.",
};

// Of what the guidelines only advise, what Google's AIPs ask for, too.
const ALSO = [
  "ibm-no-operation-requestbody", // AIP-131, 132 and 135: what is read or deleted is named without a body.
  "ibm-use-date-based-format", // AIP-142: a time has the format of one.
  "ibm-operation-summary", // AIP-192: everything public has its description.
  "ibm-parameter-description",
];

const isError = ({ severity }) => severity === "error" || severity === 0;
const errors = Object.keys(guidelines.rules).filter((name) => isError(guidelines.rules[name]) && !(name in OFF));
const rules = Object.fromEntries([...errors, ...ALSO].map((name) => [name, "error"]));

export default { extends: [[guidelines, "off"]], rules };
