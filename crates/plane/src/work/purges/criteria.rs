//! What the customers of a purge have in common.
//!
//! It is held against one customer after the other, here and not in SQL: a walk along the customers' ids costs the same whatever is looked
//! for, and none of its steps is long because little of it matches.

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::fields::Check;
use crate::normal_forms::{composed, domain_key};
use crate::{Error, Result};

/// What customers have in common: those are meant who meet all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[schemars(rename = "CustomerCriteria", extend("minProperties" = 1, "x-null" = ["invalid_type", "must not be null: leave it out"]))]
pub struct Criteria {
    /// Made before this.
    #[serde(default)]
    #[schemars(with = "Timestamp", example = &"2020-01-31T12:00:00Z")]
    pub created_before: Option<Timestamp>,
    /// Made at this time or later.
    #[serde(default)]
    #[schemars(with = "Timestamp", example = &"2019-01-31T12:00:00Z")]
    pub created_after: Option<Timestamp>,
    /// Last changed before this.
    #[serde(default)]
    #[schemars(with = "Timestamp", example = &"2021-01-31T12:00:00Z")]
    pub updated_before: Option<Timestamp>,
    /// Under this member's management.
    #[serde(default)]
    #[schemars(with = "crate::wire::MemberId", extend("x-unshown" = true))]
    pub managed_by: Option<Uuid>,
    /// With an address of this domain, in whatever case.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = 253), example = &"example.com")]
    pub email_domain: Option<String>,
    /// With each of these texts among their metadata.
    #[serde(default)]
    #[schemars(with = "crate::wire::Metadata", extend("minProperties" = 1))]
    pub metadata: Map<String, Json>,
    /// Those who were softly deleted, in the place of those who are there. For those who may hard-delete them.
    #[serde(rename = "state", default, deserialize_with = "crate::wire::is_there")]
    #[schemars(
        with = "String",
        extend("enum" = ["deleted"], "x-refusal" = ["invalid", "must be deleted, or left out"], "x-unshown" = true)
    )]
    pub is_deleted: bool,
    /// All of them: what to say where nothing else is given.
    #[serde(rename = "all", default)]
    #[schemars(extend("const" = true))]
    pub is_all: bool,
}

/// What is known of a customer when it is held against criteria.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) id: Uuid,
    pub(super) reference: String,
    pub(super) managed_by: Option<Uuid>,
    email: String,
    metadata: Json,
    state: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

sql::columns! { Person { id, reference, managed_by, email, metadata, state, created_at, updated_at } }

impl Criteria {
    /// Checks what was given.
    ///
    /// # Errors
    /// [`Error::Invalid`] when nothing was, or something cannot be.
    pub(super) fn check(&self) -> Result<()> {
        let mut check = Check::new();
        check
            .optional("filter.email_domain", self.email_domain.as_deref(), 1..=253)
            .metadata("filter.metadata", &Json::Object(self.metadata.clone()));
        if *self == Criteria::default() {
            check.refuse("filter", "empty", "must say which customers: name what they have in common, or say `all`");
        }
        check.finish()
    }

    /// The state of the customers that are meant.
    pub(super) fn state(&self) -> &'static str {
        if self.is_deleted { "deleted" } else { "live" }
    }

    /// Whether a purge that was ordered at this time means a customer: not one that was made afterwards.
    pub(super) fn matches(&self, person: &Person, ordered_at: Timestamp) -> bool {
        let domain = || domain_key(person.email.rsplit_once('@').map_or("", |(_, domain)| domain));
        let has = |key: &str, value: &Json| {
            let is_same = |one: &str, other: &str| one == other || composed(one) == composed(other);
            let pairs = person.metadata.as_object().into_iter().flatten();
            pairs.filter(|(known, _)| is_same(known, key)).any(|(_, known)| match (known.as_str(), value.as_str()) {
                (Some(known), Some(value)) => is_same(known, value),
                _ => known == value,
            })
        };
        person.state == self.state()
            && person.created_at <= ordered_at
            && self.created_before.is_none_or(|time| person.created_at < time)
            && self.created_after.is_none_or(|time| person.created_at >= time)
            && self.updated_before.is_none_or(|time| person.updated_at < time)
            && self.managed_by.is_none_or(|manager| person.managed_by == Some(manager))
            && self.email_domain.as_ref().is_none_or(|wanted| domain_key(wanted.trim()) == domain())
            && self.metadata.iter().all(|(key, value)| has(key, value))
    }

    /// For the audit trail, which holds nothing about a person: of texts only that they were given.
    pub(super) fn words(&self) -> String {
        let time = |name: &str, time: Option<Timestamp>| time.map(|time| format!("{name} {time}"));
        let words = [
            self.is_all.then(|| "all".to_owned()),
            self.is_deleted.then(|| "softly deleted".to_owned()),
            time("created before", self.created_before),
            time("created since", self.created_after),
            time("last changed before", self.updated_before),
            self.managed_by.map(|manager| format!("managed by {manager}")),
            self.email_domain.as_ref().map(|_| "of a domain".to_owned()),
            (!self.metadata.is_empty()).then(|| format!("with {} given texts among their metadata", self.metadata.len())),
        ];
        format!("customers: {}", words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    /// As the database holds it.
    pub(super) fn to_json(&self) -> Json {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        json!({
            "created_before": time(self.created_before),
            "created_after": time(self.created_after),
            "updated_before": time(self.updated_before),
            "managed_by": self.managed_by,
            "email_domain": self.email_domain,
            "metadata": self.metadata,
            "is_deleted": self.is_deleted,
            "is_all": self.is_all,
        })
    }

    /// From the database. What cannot be read is an error: a criterion that is left out would take in more customers.
    pub(super) fn from_json(json: &Json) -> Result<Criteria> {
        let broken = |name: &str| Error::Internal(format!("the criterion {name} of a purge cannot be read"));
        let text = |name: &'static str| match &json[name] {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text.clone())),
            _ => Err(broken(name)),
        };
        let time = |name: &'static str| text(name)?.map(|text| text.parse().map_err(|_| broken(name))).transpose();
        let flag = |name: &'static str| json[name].as_bool().ok_or_else(|| broken(name));
        Ok(Criteria {
            created_before: time("created_before")?,
            created_after: time("created_after")?,
            updated_before: time("updated_before")?,
            managed_by: text("managed_by")?.map(|text| text.parse().map_err(|_| broken("managed_by"))).transpose()?,
            email_domain: text("email_domain")?,
            metadata: json["metadata"].as_object().cloned().ok_or_else(|| broken("metadata"))?,
            is_deleted: flag("is_deleted")?,
            is_all: flag("is_all")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    fn person() -> Person {
        Person {
            id: Uuid::from_u128(1),
            reference: "user123".into(),
            managed_by: Some(Uuid::from_u128(2)),
            email: "Ada@Example.COM".into(),
            metadata: json!({"plan": "trial", "city": "London", "café": "å"}),
            state: "live".into(),
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            updated_at: "2026-02-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn metadata(value: Json) -> Map<String, Json> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_customer_is_meant_who_meets_all_that_is_given() {
        let of = |change: fn(&mut Criteria)| {
            let mut criteria = Criteria::default();
            change(&mut criteria);
            criteria.matches(&person(), "2026-03-01T00:00:00Z".parse().unwrap())
        };
        assert!(of(|criteria| criteria.is_all = true));
        assert!(of(|criteria| criteria.created_before = time("2026-01-01T00:00:00.000001Z")));
        assert!(!of(|criteria| criteria.created_before = time("2026-01-01T00:00:00Z")));
        assert!(of(|criteria| criteria.created_after = time("2026-01-01T00:00:00Z")));
        assert!(!of(|criteria| criteria.created_after = time("2026-01-01T00:00:00.000001Z")));
        assert!(!of(|criteria| criteria.updated_before = time("2026-02-01T00:00:00Z")));
        assert!(of(|criteria| criteria.managed_by = Some(Uuid::from_u128(2))));
        assert!(!of(|criteria| criteria.managed_by = Some(Uuid::from_u128(3))));
        assert!(of(|criteria| criteria.email_domain = Some("example.com".into())));
        assert!(!of(|criteria| criteria.email_domain = Some("ample.com".into())));
        assert!(of(|criteria| criteria.metadata = metadata(json!({"plan": "trial"}))));
        assert!(!of(|criteria| criteria.metadata = metadata(json!({"plan": "trial", "city": "Paris"}))));
        assert!(!of(|criteria| criteria.metadata = metadata(json!({"missing": ""}))));
        assert!(of(|criteria| criteria.email_domain = Some("ＥＸＡＭＰＬＥ。com".into())));
        assert!(of(|criteria| criteria.metadata = metadata(json!({"cafe\u{301}": "a\u{30a}"}))));
        assert!(!of(|criteria| criteria.metadata = metadata(json!({"Café": "å"}))));
        assert!(!of(|criteria| criteria.is_deleted = true));
        assert!(!Criteria { is_all: true, ..Criteria::default() }.matches(&person(), "2025-12-31T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn criteria_are_read_as_they_were_written_and_what_is_broken_is_no_criterion() {
        let all = Criteria {
            created_before: time("2026-01-01T00:00:00Z"),
            created_after: time("2025-01-01T00:00:00.000001Z"),
            updated_before: time("2026-01-02T00:00:00Z"),
            managed_by: Some(Uuid::from_u128(2)),
            email_domain: Some("example.com".into()),
            metadata: metadata(json!({"plan": "trial"})),
            is_deleted: true,
            is_all: true,
        };
        for criteria in [Criteria::default(), all.clone()] {
            assert_eq!(Criteria::from_json(&criteria.to_json()).unwrap(), criteria);
        }
        for name in all.to_json().as_object().unwrap().keys() {
            let mut broken = all.to_json();
            broken[name] = json!(7);
            assert!(Criteria::from_json(&broken).is_err(), "{name}");
        }
    }
}
