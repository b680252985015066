//! The bodies of commands that change something: they hold what was given on the command line and nothing else.

use serde_json::{Map, Value as Json};

use super::failure::{Failure, Result};

/// The fields that were given. There has to be one.
pub(super) fn changes<const N: usize>(fields: [(&'static str, Option<Json>); N]) -> Result<Json> {
    let given: Map<String, Json> = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    match given.is_empty() {
        true => Err(Failure::usage("Nothing to change was given: --help lists what can be.")),
        false => Ok(Json::Object(given)),
    }
}

/// A value as it was given.
pub(super) fn given<T: Into<Json> + Clone>(value: &Option<T>) -> Option<Json> {
    value.clone().map(Into::into)
}

/// A text that may be missing: an empty one takes away what is there.
pub(super) fn clearable(value: &Option<String>) -> Option<Json> {
    value.as_deref().map(|text| if text.is_empty() { Json::Null } else { text.into() })
}

/// `KEY=VALUE` pairs as an object; nothing if there are none.
pub(super) fn pairs(given: &[String]) -> Result<Option<Json>> {
    let pair = |pair: &String| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), Json::from(value))),
        None => Err(Failure::usage(format!("“{pair}” is not KEY=VALUE."))),
    };
    let pairs = given.iter().map(pair).collect::<Result<Map<String, Json>>>()?;
    Ok((!pairs.is_empty()).then_some(Json::Object(pairs)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{changes, clearable, pairs};

    #[test]
    fn only_what_was_given_is_sent() {
        let body = changes([("name", None), ("logo", clearable(&Some(String::new()))), ("phone", clearable(&Some("1".into())))]).unwrap();
        assert_eq!(body, json!({"logo": null, "phone": "1"}));
        assert!(changes([("name", None)]).is_err());
    }

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!(pairs(&["a=b=c".into(), "d=".into()]).unwrap(), Some(json!({"a": "b=c", "d": ""})));
        assert_eq!(pairs(&[]).unwrap(), None);
        assert!(pairs(&["a".into()]).is_err());
    }
}
