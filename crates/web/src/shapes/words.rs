//! Closed sets of words that more than one field holds. Each has a name of its own among the components, so that a generated client has one
//! type for it.

use plane::audit::ACTIONS;
use plane::deletion::{BLOCKER_CODES, BLOCKER_KINDS, CONDITION_TYPES, DeletionFilter, Root};
use plane::events::Event;
use plane::policy::{Role, SCOPES};
use plane::{holds, purges};
use serde_json::{Value as Json, json};

use crate::dialect::Dialect;
use crate::error_pages;

/// A closed set of words.
#[derive(Debug)]
pub(crate) struct Words {
    name: &'static str,
    about: &'static str,
    all: fn(&Dialect) -> Vec<&'static str>,
    /// Whether surfaces with another spelling have other words, too.
    differs: bool,
    /// What it may look like in an example; the first word if empty.
    like: &'static str,
}

impl Words {
    const fn new(name: &'static str, about: &'static str, all: fn(&Dialect) -> Vec<&'static str>) -> Words {
        Words { name, about, all, differs: false, like: "" }
    }

    const fn like(mut self, like: &'static str) -> Words {
        self.like = like;
        self
    }

    /// Its name among the components.
    pub fn component(&self, dialect: &Dialect) -> String {
        if self.differs && dialect.short_ids { format!("Account{}", self.name) } else { self.name.to_owned() }
    }

    /// Every word.
    pub fn all(&self, dialect: &Dialect) -> Vec<&'static str> {
        (self.all)(dialect)
    }

    /// The component.
    pub fn schema(&self, dialect: &Dialect) -> Json {
        json!({"type": "string", "description": self.about, "enum": self.all(dialect)})
    }

    /// A reference to the component.
    pub fn reference(&self, dialect: &Dialect) -> Json {
        json!({"$ref": format!("#/components/schemas/{}", self.component(dialect))})
    }

    /// What a field may look like that holds one.
    pub fn sample(&self, dialect: &Dialect) -> Json {
        match self.like {
            "" => Json::from(self.all(dialect).first().copied()),
            // The word of this surface for it.
            like => Json::from(Role::parse(like).filter(|_| self.differs).map_or(like, |role| dialect.role(role))),
        }
    }
}

pub(crate) static SCOPE: Words = Words::new("Scope", "What a key or token may be used for, within its owner's role.", |_| SCOPES.to_vec());

pub(crate) static ROLE: Words = Words {
    differs: true,
    ..Words::new("Role", "What a member is in an organization.", |dialect| Role::ALL.map(|role| dialect.role(role)).to_vec()).like("member")
};

pub(crate) static EVENT: Words =
    Words::new("Event", "Something that webhooks are told.", |_| Event::ALL.iter().map(|event| event.name()).collect());

pub(crate) static ERROR_CODE: Words =
    Words::new("ErrorCode", "The kind of an error. Each has a page at `/docs/errors/{code}`.", |_| error_pages::codes()).like("not_found");

pub(crate) static BLOCKER_CODE: Words =
    Words::new("BlockerCode", "Why something stands in a deletion's way.", |_| BLOCKER_CODES.to_vec()).like("active_subscription");

pub(crate) static BLOCKER_KIND: Words =
    Words::new("BlockerKind", "The kind of what stands in a deletion's way.", |_| BLOCKER_KINDS.to_vec()).like("subscription");

pub(crate) static DELETION_ROOT: Words =
    Words::new("DeletionRoot", "The rules that a deletion follows.", |_| Root::ALL.map(Root::name).to_vec());

pub(crate) static SUBJECT: Words = Words::new("SubjectKind", "The kind of what is deleted.", |_| {
    // Two roots delete customers.
    Root::ALL.into_iter().filter(|root| root.name() == root.noun()).map(Root::noun).collect()
})
.like("customer");

pub(crate) static DELETION_STATE: Words =
    Words::new("DeletionState", "How far a deletion is.", |_| vec!["reversible", "closed", "draining", "sealed", "restored"])
        .like("sealed");

pub(crate) static DELETION_FILTER: Words =
    Words::new("DeletionFilter", "Which deletions are listed; `open` are those not sealed yet.", |_| DeletionFilter::NAMES.to_vec());

pub(crate) static AUDIT_ACTION: Words = Words::new("AuditAction", "What was done or tried.", |_| ACTIONS.to_vec()).like("customer.delete");

pub(crate) static ACTOR: Words = Words::new("Actor", "What acted: the kind of credential, or the server itself.", |_| {
    vec!["nobody", "user", "api_key", "service_account", "oauth_app", "operator", "system"]
})
.like("user");

pub(crate) static CONDITION_TYPE: Words =
    Words::new("ConditionType", "Why a deletion waits.", |_| CONDITION_TYPES.to_vec()).like("webhook_deliveries");

pub(crate) static KEY_KIND: Words =
    Words::new("ApiKeyKind", "What a key begins with: `csb_`, `csu_`, `cpk_`.", |_| vec!["organization", "user", "publishable"]);

pub(crate) static SUBSCRIPTION_STATUS: Words =
    Words::new("SubscriptionStatus", "An active subscription keeps its customer from being deleted.", |_| {
        vec!["active", "cancelled", "expired"]
    });

pub(crate) static TRANSACTION_STATUS: Words =
    Words::new("TransactionStatus", "A pending transaction keeps its customer from being deleted.", |_| {
        vec!["settled", "pending", "failed"]
    });

pub(crate) static CUSTOMER_STATE: Words =
    Words::new("CustomerState", "Whether a customer is there, or was softly deleted and is kept.", |_| vec!["live", "deleted"]);

pub(crate) static HOLD_STATE: Words = Words::new("HoldState", "Whether a legal hold is in force.", |_| holds::State::NAMES.to_vec());

pub(crate) static PURGE_OUTCOME: Words =
    Words::new("PurgeOutcome", "What became of one customer of a purge.", |_| purges::Outcome::NAMES.to_vec()).like("deleted");

pub(crate) static EXPORT_STATE: Words =
    Words::new("ExportState", "How far an export is.", |_| vec!["waiting", "running", "done", "failed", "expired"]);

pub(crate) static FATE: Words = Words::new("RowFate", "What a deletion does with rows.", |_| vec!["erased", "redacted", "kept"]);

pub(crate) static METHOD: Words = Words::new("Method", "A method of HTTP.", |_| vec!["POST", "PUT", "PATCH", "DELETE"]).like("PATCH");

pub(crate) static TOKEN_TYPE: Words = Words::new("TokenType", "How a token is presented (RFC 6750).", |_| vec!["Bearer"]);
