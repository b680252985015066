//! What should be gone because its time is over: what the server's own job erases.

use sql::{Row, params};
use uuid::Uuid;

use super::checks::{START_THE_SERVER, id, rows_and_sample};
use super::{CheckContext, Finding, Findings, MOST_SAMPLES, Tell};
use crate::Result;
use crate::retention::{GRACE, OVERDUE_CUSTOMERS, Retention, sweeps};
use deletion::before;

pub(super) fn overdue<'a>(context: &'a CheckContext, tell: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let mut findings = customers(context, tell).await?;
        for sweep in sweeps().iter().filter(|sweep| context.may_have(sweep.table)) {
            let Some(limit) = context.periods.limit(sweep.retention, context.now) else { continue };
            tell(sweep.table);
            let limit = before(limit, GRACE);
            let (rows, sample) = rows_and_sample(
                context,
                (sweep.count, sweep.overdue(limit, context.now, None)),
                (sweep.list, id),
                sweep.overdue(limit, context.now, Some(MOST_SAMPLES)),
            )
            .await?;
            if rows > 0 {
                let (what, period) = (sweep.retention.what(), context.periods.words(sweep.retention));
                findings.push(Finding {
                    what: format!("{what} are kept for longer than {period}"),
                    table: Some(sweep.table.into()),
                    rows,
                    of: sweep.table,
                    sample,
                    remedy: format!(
                        "{START_THE_SERVER}: it erases them within minutes; if one runs, its log says why it could not. {SAME}"
                    ),
                });
            }
        }
        Ok(findings)
    })
}

const SAME: &str = "If it keeps them for another time, give the doctor the same --retention";

async fn customers(context: &CheckContext, tell: Tell<'_>) -> Result<Vec<Finding>> {
    let Some(limit) = context.periods.limit(Retention::Customers, context.now) else { return Ok(Vec::new()) };
    tell("customers");
    let [held, list_held] = OVERDUE_CUSTOMERS.held;
    let [free, list_free] = OVERDUE_CUSTOMERS.free;
    let told = |row: Row| {
        let (id, waits_for): (Uuid, String) = row.read()?;
        Ok(format!("{id} (waits for {waits_for})"))
    };
    let (limit, now, period) = (before(limit, GRACE), context.now, context.periods.words(Retention::Customers));
    let (counted, listed) = (params![limit, now].to_vec(), params![limit, now, MOST_SAMPLES].to_vec());
    let (rows_held, sample_held) = rows_and_sample(context, (held, counted.clone()), (list_held, id), listed.clone()).await?;
    let (rows_free, sample_free) = rows_and_sample(context, (free, counted), (list_free, told), listed).await?;
    let found = |what: &str, rows, sample, remedy: String| Finding {
        what: format!("overdue purge: customers were softly deleted more than {period} ago and are still there, {what}"),
        table: Some("customers".into()),
        rows,
        of: "customers",
        sample,
        remedy,
    };
    let free = found(
        "because something of theirs is open, or no server erased them",
        rows_free,
        sample_free,
        format!(
            "{START_THE_SERVER}: it tries again within minutes. What stands in the way is in the deletion plan, \
             GET /customer/ID/deletion-plan?hard=true. {SAME}"
        ),
    );
    let held = found(
        "because of legal holds",
        rows_held,
        sample_held,
        "none, as long as the holds shall last; otherwise freehold holds release ID --reason …, and the server erases them within minutes"
            .into(),
    );
    Ok([free, held].into_iter().filter(|finding| finding.rows > 0).collect())
}
