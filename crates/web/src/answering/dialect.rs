//! What differs between the three documented surfaces, as data. Nothing else in this crate asks which surface it serves.

use axum::http::StatusCode;
use jiff::Timestamp;
use plane::ids;
use plane::policy::Role;
use serde_json::Value as Json;
use uuid::Uuid;

/// One surface's habits.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// Its addresses begin with this.
    pub prefix: &'static str,
    /// `organizationId` instead of `organization_id`.
    pub camel_case: bool,
    /// Ids go out as 22 characters instead of 36.
    pub short_ids: bool,
    /// Organizations can be named by their slug.
    pub slugs: bool,
    /// A deletion that succeeded answers 204 instead of 200.
    pub empty_success: bool,
    /// The status of an outsider on an organization that exists.
    pub outsider: StatusCode,
    /// The status of input that is not acceptable.
    pub invalid: StatusCode,
    /// The media type of errors.
    pub error_type: &'static str,
    /// Errors also carry `statusCode`, `message` and `error`.
    pub nest_errors: bool,
    /// Errors also carry `success: false` and `message`.
    pub success_errors: bool,
    /// What "not found" says when it says no noun.
    pub plain_not_found: bool,
    /// Roles that this surface calls otherwise.
    pub roles: &'static [(Role, &'static str)],
}

/// Seeds 000, 002, 004; and everything that is no documented surface.
pub(crate) static API: Dialect = Dialect {
    prefix: "/api",
    camel_case: true,
    short_ids: false,
    slugs: true,
    empty_success: true,
    outsider: StatusCode::FORBIDDEN,
    invalid: StatusCode::BAD_REQUEST,
    error_type: PROBLEM,
    nest_errors: true,
    success_errors: false,
    plain_not_found: false,
    roles: &[],
};

/// The standard OAuth 2.0 endpoints, whose errors are JSON (RFC 6749, section 5.2): libraries read no others.
pub(crate) static OAUTH: Dialect = Dialect {
    prefix: "/oauth2/",
    camel_case: true,
    short_ids: false,
    slugs: true,
    empty_success: true,
    outsider: StatusCode::FORBIDDEN,
    invalid: StatusCode::BAD_REQUEST,
    error_type: "application/json",
    nest_errors: true,
    success_errors: false,
    plain_not_found: false,
    roles: &[],
};

/// Seed 003.
pub(crate) static ACCOUNT: Dialect = Dialect {
    prefix: "/account/",
    camel_case: false,
    short_ids: true,
    slugs: false,
    empty_success: false,
    outsider: StatusCode::NOT_FOUND,
    invalid: StatusCode::UNPROCESSABLE_ENTITY,
    error_type: PROBLEM,
    nest_errors: false,
    success_errors: false,
    plain_not_found: true,
    roles: &[(Role::Admin, "manager"), (Role::Member, "editor")],
};

/// Seed 001.
pub(crate) static CUSTOMER: Dialect = Dialect {
    prefix: "/customer",
    camel_case: true,
    short_ids: false,
    slugs: true,
    empty_success: false,
    outsider: StatusCode::FORBIDDEN,
    invalid: StatusCode::UNPROCESSABLE_ENTITY,
    error_type: PROBLEM,
    nest_errors: false,
    success_errors: true,
    plain_not_found: false,
    roles: &[],
};

/// RFC 9457.
const PROBLEM: &str = "application/problem+json";

impl Dialect {
    /// The dialect of an address.
    pub fn of(path: &str) -> &'static Dialect {
        [&ACCOUNT, &CUSTOMER, &OAUTH].into_iter().find(|dialect| path.starts_with(dialect.prefix)).unwrap_or(&API)
    }

    /// Spells a name.
    pub fn name(&self, snake: &str) -> String {
        if !self.camel_case {
            return snake.to_owned();
        }
        let mut spelled = String::with_capacity(snake.len());
        let mut upper = false;
        for character in snake.chars() {
            match character {
                '_' => upper = true,
                _ if upper => {
                    spelled.push(character.to_ascii_uppercase());
                    upper = false;
                }
                _ => spelled.push(character),
            }
        }
        spelled
    }

    /// Writes an id.
    pub fn id(&self, id: Uuid) -> Json {
        Json::from(if self.short_ids { ids::to_short(id) } else { id.to_string() })
    }

    /// Writes a role.
    pub fn role(&self, role: Role) -> &'static str {
        self.roles.iter().find(|(known, _)| *known == role).map_or(role.name(), |(_, name)| name)
    }

    /// What a role must be, for people.
    pub fn role_words(&self) -> String {
        format!("must be one of {}", Role::ALL.map(|role| self.role(role)).join(", "))
    }

    /// Reads a role by this surface's name or ours.
    pub fn parse_role(&self, name: &str) -> Option<Role> {
        self.roles.iter().find(|(_, known)| *known == name).map(|(role, _)| *role).or_else(|| Role::parse(name))
    }
}

/// A time with milliseconds, such as `2024-01-20T14:45:00.000Z`.
pub(crate) fn time(time: Timestamp) -> Json {
    Json::from(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
