//! What an organization can ask of those who delete, for each kind of subject on its own.

use serde::{Deserialize, Serialize};

sql::words! {
    /// The kinds of subject that an organization can ask something for.
    pub enum Kind {
        /// The organization itself.
        Organization = "organization",
        /// Its members.
        Member = "member",
        /// Its customers, however they are deleted.
        Customer = "customer",
    }
}

/// What is asked for one kind of subject. The default: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "NewRequirements", description = "What is to be asked for one kind of subject. What is missing is not asked.")]
pub struct Requirements {
    /// That they say why: `?reason=`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<bool>")]
    pub reason_required: bool,
    /// That they type the organization's slug: `?confirm=`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<bool>")]
    pub confirmation_required: bool,
    /// That they have signed in within so many minutes. No key and no app's token has.
    #[schemars(range(min = 1, max = 1_440), example = 15)]
    pub fresh_minutes: Option<u32>,
    /// That another owner has approved it. Takes two owners.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<bool>")]
    pub approval_required: bool,
    /// Days until what is deleted is erased; none if 0.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<u32>", range(min = 0, max = 90), example = 30)]
    pub grace_days: u32,
}

sql::columns! { Requirements { reason_required, confirmation_required, fresh_minutes, approval_required, grace_days } }

impl Requirements {
    /// Whether what these ask can be done with less under others.
    pub(crate) fn is_weakened_by(&self, new: &Requirements) -> bool {
        let is_looser = self.fresh_minutes.is_some_and(|old| new.fresh_minutes.is_none_or(|new| new > old));
        (self.reason_required && !new.reason_required)
            || (self.confirmation_required && !new.confirmation_required)
            || (self.approval_required && !new.approval_required)
            || is_looser
            || new.grace_days < self.grace_days
    }

    /// In words of this program, for the audit trail.
    pub(crate) fn words(&self) -> String {
        let asked = [
            self.reason_required.then(|| "a reason".to_owned()),
            self.confirmation_required.then(|| "the slug".to_owned()),
            self.fresh_minutes.map(|minutes| format!("a sign-in within {minutes} minutes")),
            self.approval_required.then(|| "an approval".to_owned()),
            (self.grace_days > 0).then(|| format!("{} days of grace", self.grace_days)),
        ];
        let asked: Vec<String> = asked.into_iter().flatten().collect();
        if asked.is_empty() { "nothing".into() } else { asked.join(", ") }
    }
}

/// What an organization asks, of all kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(
    rename = "NewDeletionRequirements",
    description = "What is to be asked of those who delete, in the place of all that was asked. A kind that is missing: nothing."
)]
pub struct ByKind {
    /// Of those who delete the organization.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Requirements>")]
    pub organization: Requirements,
    /// Of those who remove a member; never of a member who leaves.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Requirements>")]
    pub member: Requirements,
    /// Of those who delete a customer, in any way.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Requirements>")]
    pub customer: Requirements,
}

impl ByKind {
    /// That of one kind.
    pub fn of(&self, kind: Kind) -> &Requirements {
        match kind {
            Kind::Organization => &self.organization,
            Kind::Member => &self.member,
            Kind::Customer => &self.customer,
        }
    }

    pub(crate) fn place(&mut self, kind: Kind) -> &mut Requirements {
        match kind {
            Kind::Organization => &mut self.organization,
            Kind::Member => &mut self.member,
            Kind::Customer => &mut self.customer,
        }
    }
}
