//! How long data that no one deletes is kept, and what a deletion keeps. Each period has a name, a default and a setting; the rules of deletion
//! name the periods, and one job (`retention`) erases what has had its time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use deletion::{after, before};

const DAY: u64 = 86_400;
/// Days that a period can have at the most; who wants more wants it forever.
const MOST_DAYS: u32 = 36_500;

/// Something that is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Softly deleted customers, with what is kept with them.
    Customers,
    /// Receipts: the records of completed deletions.
    Receipts,
    /// The audit trail.
    Audit,
    /// Legal holds that are over.
    Holds,
    /// Invitations that can no longer be accepted.
    Invitations,
    /// What webhooks were told.
    Deliveries,
    /// Records of exports whose archives are gone.
    Exports,
    /// Answers to requests with an Idempotency-Key.
    Answers,
    /// Sessions that have ended.
    Sessions,
    /// OAuth tokens that have ended.
    Tokens,
    /// Approvals that were not used.
    Approvals,
    /// From where people signed in.
    Addresses,
}

/// The line of a period.
struct Line {
    name: &'static str,
    /// Its days, unless the server is set otherwise.
    days: u32,
    /// What is kept, in the words of a sentence about several.
    what: &'static str,
    /// When the period begins.
    since: &'static str,
}

impl Retention {
    /// Every period.
    pub const ALL: [Retention; 12] = [
        Retention::Customers,
        Retention::Receipts,
        Retention::Audit,
        Retention::Holds,
        Retention::Invitations,
        Retention::Deliveries,
        Retention::Exports,
        Retention::Answers,
        Retention::Sessions,
        Retention::Tokens,
        Retention::Approvals,
        Retention::Addresses,
    ];

    #[rustfmt::skip]
    const fn line(self) -> Line {
        // Six years, two of them leap years: as long as contracts and accounts can commonly be asked about.
        const SIX_YEARS: u32 = 2_192;
        match self {
            Retention::Customers => Line { name: "customers", days: 365, what: "softly deleted customers, with what is kept with them", since: "their soft deletion" },
            Retention::Receipts => Line { name: "receipts", days: SIX_YEARS, what: "receipts of deletions", since: "the completion" },
            Retention::Audit => Line { name: "audit", days: SIX_YEARS, what: "entries of the audit trail", since: "they were written" },
            Retention::Holds => Line { name: "holds", days: SIX_YEARS, what: "legal holds that are over", since: "their release, or their end" },
            Retention::Invitations => Line { name: "invitations", days: 90, what: "invitations, whatever became of them", since: "the day until which they could be accepted" },
            Retention::Deliveries => Line { name: "deliveries", days: 90, what: "deliveries to webhooks, the last hundred of each", since: "they were made or given up" },
            Retention::Exports => Line { name: "exports", days: 365, what: "records of exports whose archives are gone", since: "they were asked for" },
            Retention::Answers => Line { name: "answers", days: 1, what: "answers to requests with an Idempotency-Key", since: "the request" },
            Retention::Sessions => Line { name: "sessions", days: 30, what: "sessions that have ended", since: "their end" },
            Retention::Tokens => Line { name: "tokens", days: 30, what: "OAuth tokens that have ended", since: "the end of their refresh token" },
            Retention::Approvals => Line { name: "approvals", days: 90, what: "approvals of deletions that were not used", since: "the time until which they could be" },
            Retention::Addresses => Line { name: "addresses", days: 90, what: "the addresses from which people signed in or tried to", since: "they were written" },
        }
    }

    /// The period of this name.
    pub fn parse(name: &str) -> Option<Retention> {
        Retention::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        self.line().name
    }

    /// What is kept.
    pub fn what(self) -> &'static str {
        self.line().what
    }

    /// When the period begins.
    pub fn since(self) -> &'static str {
        self.line().since
    }

    /// The words for the setting's `--help`.
    pub fn help() -> String {
        let periods: Vec<String> =
            Retention::ALL.into_iter().map(|one| format!("{} ({})", one.name(), Periods::default().words(one))).collect();
        format!(
            "How long something is kept, as NAME=DAYS or NAME=forever; several between commas. What has had its time is erased, unless it is \
             under a legal hold. The names, with what they are set to otherwise: {}",
            periods.join(", ")
        )
    }
}

/// How long everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periods {
    /// Days, in the order of [`Retention::ALL`]; none is forever.
    days: [Option<u32>; Retention::ALL.len()],
}

impl Default for Periods {
    fn default() -> Periods {
        Periods { days: Retention::ALL.map(|one| Some(one.line().days)) }
    }
}

/// One period, as a setting gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    retention: Retention,
    days: Option<u32>,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let (name, days) = text.split_once('=').ok_or("it must be NAME=DAYS or NAME=forever")?;
        let retention = Retention::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Retention::ALL.into_iter().map(Retention::name).collect();
            format!("there is no period called {name}: there are {}", names.join(", "))
        })?;
        if days == "forever" {
            return Ok(Setting { retention, days: None });
        }
        let days = days.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days));
        let days = days.ok_or_else(|| format!("{name} must be 1 to {MOST_DAYS} days, or forever"))?;
        Ok(Setting { retention, days: Some(days) })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.days {
            Some(days) => write!(formatter, "{}={days}", self.retention.name()),
            None => write!(formatter, "{}=forever", self.retention.name()),
        }
    }
}

impl Periods {
    /// The defaults but for what is set; of one period the last setting counts.
    pub fn new(settings: &[Setting]) -> Periods {
        let mut periods = Periods::default();
        for setting in settings {
            periods.days[setting.retention as usize] = setting.days;
        }
        periods
    }

    /// Days for which something is kept; none is forever.
    pub fn days(&self, of: Retention) -> Option<u32> {
        self.days[of as usize]
    }

    /// How long something is kept, for people.
    pub fn words(&self, of: Retention) -> String {
        match self.days(of) {
            None => "forever".into(),
            Some(1) => "1 day".into(),
            Some(days) => format!("{days} days"),
        }
    }

    fn lasts(&self, of: Retention) -> Option<Duration> {
        self.days(of).map(|days| Duration::from_secs(u64::from(days) * DAY))
    }

    /// Until when something is kept whose time begins now; none is forever.
    pub(crate) fn end(&self, of: Retention, now: Timestamp) -> Option<Timestamp> {
        self.lasts(of).map(|lasts| after(now, lasts))
    }

    /// What began then or earlier has had its time; none is nothing.
    pub(crate) fn limit(&self, of: Retention, now: Timestamp) -> Option<Timestamp> {
        self.lasts(of).map(|lasts| before(now, lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_is_set_by_its_name_and_the_last_setting_counts() {
        let set = |texts: &[&str]| Periods::new(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Setting>>());
        assert_eq!(set(&[]), Periods::default());
        let periods = set(&["customers=30", "audit=forever", "customers=31"]);
        assert_eq!((periods.days(Retention::Customers), periods.days(Retention::Audit)), (Some(31), None));
        assert_eq!(periods.days(Retention::Receipts), Some(2_192));
        for one in Retention::ALL {
            assert_eq!(set(&[&format!("{}=7", one.name())]).days(one), Some(7));
        }
    }

    #[test]
    fn what_is_no_period_is_refused_with_the_names_there_are() {
        let refusal = |text: &str| text.parse::<Setting>().unwrap_err();
        assert!(refusal("custommers=30").contains("there are customers, receipts, audit"), "{}", refusal("custommers=30"));
        for text in ["customers=0", "customers=-1", "customers=36501", "customers=", "customers=ever"] {
            assert_eq!(refusal(text), "customers must be 1 to 36500 days, or forever");
        }
        assert!(refusal("customers").contains("NAME=DAYS"));
    }

    #[test]
    fn what_is_kept_forever_has_no_end() {
        let (now, periods) = (Timestamp::UNIX_EPOCH, Periods::new(&["audit=forever".parse().unwrap(), "holds=1".parse().unwrap()]));
        assert_eq!((periods.end(Retention::Audit, now), periods.limit(Retention::Audit, now)), (None, None));
        assert_eq!(periods.end(Retention::Holds, now).unwrap().as_second(), 86_400);
        assert_eq!(periods.limit(Retention::Holds, now).unwrap().as_second(), -86_400);
    }
}
