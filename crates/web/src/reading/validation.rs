//! Bodies held against their schemas: every field is looked at. All that is wrong with the form is told at once, each with its field; if nothing
//! is, all that is wrong with what the fields say. What is right comes out in snake case and in the forms that serde reads: whole numbers as
//! such, ids as UUIDs, roles by our names.
//!
//! It knows the keywords that this program's schemas have. What other patterns and formats mean, the plane says.

use std::ops::RangeInclusive;

use plane::customers::is_reference;
use plane::fields::{Check, parse_time};
use plane::ids::{self, OrganizationRef};
use plane::{FieldErrors, Result, normal_forms};
use serde_json::{Map, Value as Json};

use crate::dialect::Dialect;
use crate::schema::{MOST_WORDS, Type, is_nullable, kind, spell};

/// Entries of a list at the most, whatever its schema says: no operation takes as many.
const MOST_ENTRIES: usize = 1_000;

/// Characters of a password.
const PASSWORD_LENGTH: RangeInclusive<usize> = 8..=128;

/// The fields of a body, as serde reads them.
///
/// # Errors
/// All that is wrong with them.
pub(crate) fn validate(body: &Type, dialect: &Dialect, fields: Map<String, Json>) -> Result<Map<String, Json>> {
    let mut validator = Validator { body, dialect, check: Check::new(), content: Check::new() };
    let read = validator.object("", body.schema(), fields);
    validator.check.finish()?;
    // What the plane must look at anyway it tells together with the rest.
    if body.schema()["x-deferred"] != true {
        validator.content.finish()?;
    }
    Ok(read)
}

struct Validator<'a> {
    body: &'a Type,
    dialect: &'a Dialect,
    /// What is not of the form that the body has.
    check: Check,
    /// What is of its form and not acceptable: told when the form is right.
    content: Check,
}

impl Validator<'_> {
    fn object(&mut self, place: &str, schema: &Json, mut given: Map<String, Json>) -> Map<String, Json> {
        let mut read = Map::new();
        let (mut known, required) = (Vec::new(), schema["required"].as_array());
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let field = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            let spelled = spell(schema, name, self.dialect);
            let mut value = given.shift_remove(&spelled);
            if property["x-either"] == true && spelled != *name {
                let other = given.shift_remove(name);
                if value.is_some() && other.is_some() {
                    self.check.refuse(&field, "repeated_field", "is there in both its spellings");
                }
                value = value.or(other);
            }
            known.push(spelled);
            let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
            match value {
                None | Some(Json::Null) if is_required => self.check.refuse(&field, "required", "is required"),
                None => {}
                Some(Json::Null) if is_nullable(property) => drop(read.insert(name.clone(), Json::Null)),
                Some(Json::Null) => self.refuse(&field, &schema["x-null"], ("required", "cannot be emptied")),
                Some(value) => drop(self.value(&field, property, value).map(|value| read.insert(name.clone(), value))),
            }
        }
        for name in given.keys() {
            let field = name.chars().take(100).collect::<String>();
            let field = if place.is_empty() { field } else { format!("{place}.{field}") };
            // Words for what is counted and not told would be made for nothing.
            match self.check.total() < FieldErrors::MOST {
                true => self.check.refuse(&field, "unknown_field", plane::fields::not_a_field(name, known.iter().map(String::as_str))),
                false => self.check.refuse(&field, "unknown_field", ""),
            }
        }
        read
    }

    /// A value as serde reads it, if nothing is wrong with it.
    fn value(&mut self, field: &str, property: &Json, value: Json) -> Option<Json> {
        let schema = self.body.resolve(property);
        let known = self.check.total();
        let value = match (kind(schema), value) {
            ("string", Json::String(text)) => self.text(field, schema, text).map(Json::String),
            ("integer", value) => self.number(field, schema, &value),
            ("boolean", Json::Bool(flag)) => {
                if schema.get("const").is_some_and(|wanted| *wanted != flag) {
                    self.check.refuse(field, "invalid", "must be true, or left out");
                }
                Some(flag.into())
            }
            ("array", Json::Array(entries)) => self.list(field, schema, entries),
            ("object", Json::Object(fields)) if schema.get("properties").is_some() => Some(self.object(field, schema, fields).into()),
            ("object", Json::Object(anything)) if schema["additionalProperties"] == true => Some(anything.into()),
            ("object", Json::Object(texts)) => self.texts(field, property, schema, texts),
            // A whole number or a text.
            ("", value) => match (whole(&value).and_then(|number| i64::try_from(number).ok()), value) {
                (Some(number), _) => Some(number.to_string().into()),
                (None, Json::String(text)) => self.text(field, &schema["oneOf"][1], text).map(Json::String),
                (None, _) => self.wrong_type(field, "must be a whole number or a text"),
            },
            ("string", _) => self.wrong_type(field, "must be a text"),
            ("boolean", _) => self.wrong_type(field, "must be true or false"),
            ("array", _) => self.wrong_type(field, "must be a list of texts"),
            (..) => self.wrong_type(field, "must be an object"),
        };
        value.filter(|_| self.check.total() == known)
    }

    fn text(&mut self, field: &str, schema: &Json, text: String) -> Option<String> {
        if text.contains('\0') {
            self.check.refuse(field, "invalid", "must not contain the character U+0000");
            return None;
        }
        // Whether a secret is one is told by what it opens.
        if schema["x-secret"] == true {
            return Some(text);
        }
        let limit = |keyword: &str| schema[keyword].as_u64().map(|limit| limit as usize);
        let read = match schema["format"].as_str() {
            Some("uuid") => ids::parse(&text).map(|id| id.to_string()),
            Some("organization") => OrganizationRef::parse(&text).map(|_| text.clone()),
            Some("date-time") => parse_time(&text).map(|time| time.to_string()),
            Some("slug") => ids::is_slug(&text).then(|| text.clone()),
            Some("reference") => is_reference(&text).then(|| text.clone()),
            Some("email") => {
                self.content.email(field, text.trim());
                return Some(text);
            }
            Some("new-password") => {
                self.content.password(field, &normal_forms::password(&text), PASSWORD_LENGTH);
                return Some(text);
            }
            Some("link") => {
                self.content.link(field, Some(&text));
                return Some(text);
            }
            Some(_) => return Some(text),
            None if schema["x-roles"] == true => self.dialect.parse_role(&text).map(|role| role.name().to_owned()),
            None => match (schema["enum"].as_array(), limit("maxLength")) {
                (Some(words), _) => words.iter().any(|word| *word == text).then(|| text.clone()),
                (None, Some(most)) if schema.get("pattern").is_none() => {
                    self.content.text(field, &text, limit("minLength").unwrap_or_default()..=most);
                    return Some(text);
                }
                _ => return Some(text),
            },
        };
        if read.is_none() {
            let words = match (schema["format"].as_str(), schema["x-roles"] == true) {
                (Some("uuid"), _) => ("invalid_id", "must be a UUID or a shortuuid of 22 characters"),
                (Some(_), _) => ("invalid_time", "must be a time such as 2026-01-31T12:00:00Z, in the years 1 to 9999"),
                (None, true) => ("invalid", &*self.dialect.role_words()),
                (None, false) => ("invalid", "must be one of the words that the documentation names"),
            };
            self.refuse(field, &schema["x-refusal"], words);
            // What is of its form goes on as it is: the plane may tell what is wrong with it together with the rest.
            return Some(text);
        }
        read
    }

    fn number(&mut self, field: &str, schema: &Json, value: &Json) -> Option<Json> {
        let is_unsigned = schema["format"].as_str().is_some_and(|format| format.starts_with('u'));
        let number = whole(value).filter(|number| !is_unsigned || *number >= 0);
        let Some(number) = number else {
            return self.wrong_type(field, if is_unsigned { "must be a whole number from 0" } else { "must be a whole number" });
        };
        let limit = |keyword: &str| schema[keyword].as_i64().map(i128::from);
        let (least, most) = (limit("minimum").unwrap_or(i64::MIN.into()), limit("maximum").unwrap_or(i64::MAX.into()));
        if !(least..=most).contains(&number) {
            self.content.refuse(field, "out_of_range", format!("must be a number from {least} to {most}"));
        }
        i64::try_from(number).ok().map(Json::from)
    }

    fn list(&mut self, field: &str, schema: &Json, entries: Vec<Json>) -> Option<Json> {
        let usual = if self.body.resolve(&schema["items"]).get("enum").is_some() { MOST_WORDS } else { MOST_ENTRIES };
        let most = schema["maxItems"].as_u64().map_or(usual, |most| most as usize);
        if entries.len() > most {
            // Of the form: no one looks through more of them.
            self.check.refuse(field, "too_many", format!("must have {most} entries at the most"));
            return None;
        }
        if !entries.iter().all(Json::is_string) {
            return self.wrong_type(field, "must be a list of texts");
        }
        let known = self.total();
        let mut read = Vec::with_capacity(entries.len());
        for (place, entry) in entries.into_iter().enumerate() {
            // One error for all that are not: what is known is said once.
            match self.total() == known {
                true => read.extend(self.value(&format!("{field}.{place}"), &schema["items"], entry)),
                false => read.push(entry),
            }
        }
        Some(read.into())
    }

    fn texts(&mut self, field: &str, property: &Json, schema: &Json, texts: Map<String, Json>) -> Option<Json> {
        let limit = |limit: &Json| limit.as_u64().map_or(usize::MAX, |limit| limit as usize);
        if property["minProperties"] == 1 && texts.is_empty() {
            self.check.refuse(field, "empty", "must hold something, or be left out");
        }
        let keys = if schema["x-merged"] == true { usize::MAX } else { limit(&schema["maxProperties"]) };
        let texts = Json::Object(texts);
        let (key, value) = (limit(&schema["propertyNames"]["maxLength"]), limit(&schema["additionalProperties"]["maxLength"]));
        self.content.flat(field, &texts, keys, key, value);
        Some(texts)
    }

    fn total(&self) -> usize {
        self.check.total() + self.content.total()
    }

    fn wrong_type<T>(&mut self, field: &str, words: &str) -> Option<T> {
        self.check.refuse(field, "invalid_type", words);
        None
    }

    /// The error that a schema names, or the usual one.
    fn refuse(&mut self, field: &str, named: &Json, (code, words): (&'static str, &str)) {
        /// The codes that schemas name.
        const CODES: [&str; 7] =
            ["invalid", "invalid_id", "invalid_slug", "invalid_type", "unknown_event", "unknown_scope", "unknown_word"];
        /// Those of them that are about what a field says, and not about its form.
        const CONTENT: [&str; 5] = ["invalid_id", "invalid_slug", "unknown_event", "unknown_scope", "unknown_word"];
        let named_code = CODES.into_iter().find(|code| named[0] == *code);
        let code = named_code.unwrap_or(code);
        let check = if CONTENT.contains(&code) { &mut self.content } else { &mut self.check };
        check.refuse(field, code, named[1].as_str().unwrap_or(words));
    }
}

/// To JSON Schema, and to languages with one kind of number, `5.0` is the whole number 5. Up to 2^53 each whole number has a form of its own.
fn whole(value: &Json) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = |number: &f64| number.fract() == 0.0 && number.abs() <= EXACT;
    value.as_i64().map(i128::from).or(value.as_u64().map(i128::from)).or(value.as_f64().filter(exact).map(|number| number as i128))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dialect::Dialect;

    /// Every body of every surface.
    fn bodies() -> Vec<(&'static str, Type, &'static Dialect)> {
        let of = |surface: &crate::catalogue::Surface| {
            let bodies = surface.operations.iter().filter_map(|operation| Some((operation.id, operation.body.clone()?)));
            bodies.map(|(id, body)| (id, body, surface.dialect)).collect::<Vec<_>>()
        };
        crate::surfaces::all().iter().flat_map(of).collect()
    }

    /// A body with every field that there is, also those that examples leave out.
    fn whole(body: &Type, dialect: &Dialect) -> Map<String, Json> {
        let mut example = body.example(dialect).as_object().cloned().unwrap();
        for (name, property) in body.schema()["properties"].as_object().unwrap() {
            example.entry(spell(body.schema(), name, dialect)).or_insert_with(|| body.example_of(property, dialect));
        }
        example
    }

    fn passes(body: &Type, dialect: &Dialect, given: &Map<String, Json>) -> bool {
        let mut validator = Validator { body, dialect, check: Check::new(), content: Check::new() };
        let read = validator.object("", body.schema(), given.clone());
        validator.total() == 0 && (body.reads)(read.into()).is_ok()
    }

    #[test]
    fn every_field_of_every_body_is_read_with_its_example_with_null_and_without() {
        for (id, body, dialect) in bodies() {
            let whole = whole(&body, dialect);
            let read = |given: Map<String, Json>, case: &str| match validate(&body, dialect, given) {
                Ok(read) => assert_eq!((body.reads)(read.into()), Ok(()), "{id}: {case}"),
                Err(error) => panic!("{id}: {case}: {error:?}"),
            };
            read(whole.clone(), "all");
            for (name, property, is_required) in body.fields(dialect) {
                if !is_required {
                    let mut without = whole.clone();
                    without.shift_remove(&name);
                    read(without, &format!("without {name}"));
                }
                if is_nullable(&property) {
                    let mut emptied = whole.clone();
                    emptied.insert(name.clone(), Json::Null);
                    read(emptied, &format!("{name} is null"));
                }
            }
        }
    }

    /// What the plane looks at, and ids and times, whose other forms the schemas do not have.
    fn is_left_out(body: &Type, property: &Json, value: &Json) -> bool {
        let schema = body.resolve(property);
        let is_text = value.is_string() && (schema.get("format").is_some() || schema.get("pattern").is_some());
        // Roles are taken by our names, too.
        let is_text = is_text || (value.is_string() && schema["x-roles"] == true);
        let is_text = is_text || (value.is_string() && schema["x-secret"] == true);
        let is_list = value.as_array().is_some_and(Vec::is_empty);
        let is_merged = schema["x-merged"] == true && value.as_object().is_some_and(|texts| texts.len() > 50);
        is_text || is_list || is_merged || property["$ref"] == "#/components/schemas/CustomerCriteria"
    }

    /// Of many kinds and sizes.
    fn values() -> Vec<Json> {
        let many: Map<String, Json> = (0..51).map(|number| (number.to_string(), json!("x"))).collect();
        vec![
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(1.5),
            json!(5.0),
            json!(-5),
            json!(-1e300),
            json!(1_i64 << 40),
            json!(u64::MAX),
            json!(""),
            json!(" "),
            json!("ab"),
            json!("active"),
            json!("admin"),
            json!("\u{7}"),
            json!("a\tb\n"),
            json!("x".repeat(200)),
            json!("x".repeat(10_000)),
            json!([]),
            json!(["read:customers"]),
            json!(["text"]),
            json!([1]),
            json!(vec!["read:customers"; 101]),
            json!(vec!["customer.created"; 2_000]),
            json!(vec![1; 101]),
            json!(["customer.created", 7]),
            json!(vec![json!({}); 2_000]),
            json!({}),
            json!({"a": "b"}),
            json!({"a": 1}),
            json!({"": "b"}),
            json!({"x".repeat(41): "b"}),
            json!({"a": "x".repeat(501)}),
            Json::Object(many),
            json!({"reason_required": true}),
        ]
    }

    #[test]
    fn what_passes_is_what_json_schema_takes() {
        let (mut compared, mut differences) = (0, Vec::new());
        for (id, body, dialect) in bodies() {
            let components: Map<String, Json> = body.components(dialect).collect();
            let reference = format!("#/components/schemas/{}", body.component(dialect));
            let standard = jsonschema::draft202012::new(&json!({"$ref": reference, "components": {"schemas": components}})).unwrap();
            let whole = whole(&body, dialect);
            let mut compare = |given: &Map<String, Json>, case: &str| {
                let (ours, theirs) = (passes(&body, dialect, given), standard.is_valid(&Json::Object(given.clone())));
                if ours != theirs {
                    differences.push(format!("{id}: {case:.100}: {ours}"));
                }
                // Also where the plane is to say what is wrong, it must come to be asked, and not with more than fits.
                if let Ok(read) = validate(&body, dialect, given.clone()) {
                    let most = read.values().filter_map(Json::as_array).map(Vec::len).max().unwrap_or_default();
                    if (body.reads)(read.into()).is_err() || most > MOST_ENTRIES {
                        differences.push(format!("{id}: {case:.100}: goes on and cannot be read"));
                    }
                }
                compared += 1;
            };
            let mut surprised = whole.clone();
            surprised.insert("surprise".into(), json!(1));
            compare(&surprised, "an unknown field");
            for (name, property) in body.schema()["properties"].as_object().unwrap() {
                let spelled = spell(body.schema(), name, dialect);
                let mut without = whole.clone();
                without.shift_remove(&spelled);
                compare(&without, name);
                for value in values().into_iter().filter(|value| !is_left_out(&body, property, value)) {
                    let mut changed = whole.clone();
                    changed.insert(spelled.clone(), value.clone());
                    compare(&changed, &format!("{name} is {value}"));
                }
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        assert!(compared > 3_000, "{compared}");
    }

    #[test]
    fn all_errors_are_told_at_once_each_with_its_field() {
        let (_, body, dialect) = bodies().into_iter().find(|(id, ..)| *id == "createCustomer").unwrap();
        let given = json!({"name": 1, "phone": "", "address": {"city": 1}, "managedBy": "x", "managed_by": null});
        let Err(plane::Error::Invalid(errors)) = validate(&body, dialect, given.as_object().cloned().unwrap()) else { panic!() };
        let told: Vec<(&str, &str)> = errors.first().iter().map(|error| (error.field.as_str(), error.code)).collect();
        let expected = [("name", "invalid_type"), ("email", "required"), ("managed_by", "invalid"), ("managed_by", "unknown_field")];
        assert_eq!(told.len(), expected.len(), "{told:?}");
        assert!(expected.iter().all(|one| told.contains(one)), "{told:?}");
        let given = json!({"name": "", "email": "x", "phone": "", "address": {"city": 1}, "id": "/"});
        let Err(plane::Error::Invalid(errors)) = validate(&body, dialect, given.as_object().cloned().unwrap()) else { panic!() };
        assert_eq!(errors.total(), 5, "{errors:?}");
    }
}
