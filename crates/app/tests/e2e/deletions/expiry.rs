//! Retention from outside: the periods that a server is set to, what goes when they are over, who stays all the same, and where that is seen.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{answered, change_database, deleted, entries, new_customer};

const DAY: i64 = 86_400;
const FIGURES: &str = "--metrics-token=figures";

/// A moment so many days ago, as SQL.
fn days_ago(server: &Server, days: i64) -> String {
    match server.engine {
        Engine::Sqlite => format!("(CAST(strftime('%s', 'now') AS integer) - {}) * 1000000", days * DAY),
        Engine::Postgresql => format!("now() - interval '{days} days'"),
    }
}

async fn number(server: &Server, query: &str) -> i64 {
    match server.engine {
        Engine::Sqlite => {
            let connection = rusqlite::Connection::open(server.database_file()).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            connection.query_row(query, [], |row| row.get(0)).unwrap()
        }
        Engine::Postgresql => {
            let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let number = client.query_one(query, &[]).await.unwrap().get(0);
            drop(client);
            connection.await.unwrap().unwrap();
            number
        }
    }
}

/// A customer who was softly deleted so many days ago, as the database says when the server comes back.
async fn retire(server: &Server, organization: &Organization, reference: &str, days: i64) {
    new_customer(server, organization, reference, None).await;
    server.new_dependant(organization, reference, "transactions", json!({"amount": 1999, "currency": "EUR"})).await;
    let path = format!("/customer/{reference}");
    let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
    server.wait_for_completion(&deletion, &organization.owner.token).await;
    let age = format!("UPDATE customers SET deleted_at = {} WHERE reference = '{reference}'", days_ago(server, days));
    change_database(server, &age).await;
}

/// Whether a softly deleted customer is still there.
async fn is_there(server: &Server, reference: &str, token: &str) -> bool {
    let plan = server.request(Method::GET, &format!("/customer/{reference}/deletion-plan?hard=true")).bearer_auth(token);
    let answer = plan.send().await.unwrap();
    assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&answer.status()), "{}", answer.status());
    answer.status() == StatusCode::OK
}

/// Waits until a softly deleted customer is gone. What is asked is the event.
async fn wait_until_gone(server: &Server, reference: &str, token: &str) {
    while is_there(server, reference, token).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn table<'a>(plan: &'a Json, name: &str) -> &'a Json {
    let tables = plan["tables"].as_array().unwrap();
    tables.iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("no {name} in {plan}"))
}

on_both_engines! {
    async fn who_was_softly_deleted_goes_when_the_time_is_over_that_the_server_is_set_to(engine: Engine) {
        let mut server = Server::start(engine, &["--retention=customers=30"]).await;
        let (organization, neighbour) = (server.new_organization().await, server.new_organization().await);
        retire(&server, &organization, "over", 31).await;
        retire(&server, &organization, "not-yet", 29).await;
        retire(&server, &neighbour, "next-door", 29).await;
        server.stop().await;
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        wait_until_gone(&server, "over", &token).await;
        assert!(is_there(&server, "not-yet", &token).await);
        let other = server.sign_in(&neighbour.owner.email, None).await;
        assert!(is_there(&server, "next-door", &other).await);
        // An ordinary deletion, ordered by the server itself.
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), &token).await;
        let expired: Vec<&Json> = trail.iter().filter(|entry| entry["action"] == "customer.expire").collect();
        let [expired] = expired.as_slice() else { panic!("{trail:?}") };
        assert_eq!((&expired["actor"], &expired["outcome"], &expired["subjectLabel"]), (&json!("system"), &json!("done"), &Json::Null));
        assert!(expired["reason"].as_str().unwrap().contains("30 days"), "{expired}");
        let receipt = server.wait_for_completion(expired["deletionId"].as_str().unwrap(), &token).await;
        assert_eq!((&receipt["root"], &receipt["counts"]["transactions"]), (&json!("customer"), &json!(1)));
        new_customer(&server, &Organization { owner: crate::support::Person { token, ..organization.owner.clone() }, ..organization }, "over", None).await;
    }

    async fn the_plan_says_until_when_what_is_kept_is_kept(engine: Engine) {
        let server = Server::start(engine, &["--retention=customers=30,audit=forever"]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let plan = async |path: &str| expect(server.request(Method::GET, path).bearer_auth(token), StatusCode::OK).await;
        let periods = plan("/api/retention").await;
        let days_of = |name: &str| periods.as_array().unwrap().iter().find(|period| period["name"] == name).unwrap()["days"].clone();
        assert_eq!((days_of("customers"), days_of("audit"), days_of("receipts")), (json!(30), Json::Null, json!(2_192)), "{periods}");
        let softly = plan("/customer/user123/deletion-plan").await;
        let days = |table: &Json| {
            let until: jiff::Timestamp = table["keptUntil"].as_str()?.parse().unwrap();
            Some((until.duration_since(jiff::Timestamp::now()).as_secs() + 60) / DAY)
        };
        for kept in ["customers", "transactions", "activity_entries"] {
            assert_eq!(days(table(&softly, kept)), Some(30), "{softly}");
        }
        assert_eq!(days(table(&softly, "deletions")), Some(2_192), "{softly}");
        for none in ["audit_entries", "devices"] {
            assert_eq!(days(table(&softly, none)), None, "{softly}");
        }
        let hard = plan("/customer/user123/deletion-plan?hard=true").await;
        assert_eq!((days(table(&hard, "customers")), days(table(&hard, "deletions"))), (None, Some(2_192)), "{hard}");
    }

    async fn who_stays_beyond_their_time_is_counted_and_found_and_keeps_no_other(engine: Engine) {
        let mut server = Server::start(engine, &[FIGURES]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        // The one that nothing holds comes last.
        for (reference, days) in [("held", 400), ("open", 399), ("free", 398)] {
            retire(&server, &organization, reference, days).await;
        }
        let hold = format!("/api/organizations/{}/customers/held/holds", organization.id);
        let hold = server.request(Method::POST, &hold).bearer_auth(token).json(&json!({"reason": "Case 2026-17"}));
        let hold = expect(hold, StatusCode::CREATED).await;
        let of_open = "(SELECT id FROM customers WHERE reference = 'open')";
        change_database(&server, &format!("UPDATE transactions SET status = 'pending' WHERE customer_id = {of_open}")).await;
        server.stop().await;
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        wait_until_gone(&server, "free", &token).await;
        let figures = async |server: &Server| {
            let answer = answered(server.request(Method::GET, "/metrics").bearer_auth("figures"), StatusCode::OK).await;
            let text = answer.text().await.unwrap();
            text.lines().filter(|line| line.starts_with("freehold_retention_overdue")).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut told = figures(&server).await;
        told.sort();
        assert_eq!(told, ["freehold_retention_overdue{because=\"legal_hold\"} 1", "freehold_retention_overdue{because=\"other\"} 1"]);
        server.stop().await;
        let (code, out, err) = server.doctor(&[]).await;
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains("FOUND    overdue") && out.contains("overdue purge") && out.contains("freehold holds release"), "{out}");
        assert!(out.contains("waits for a pending transaction"), "{out}");
        // The doctor is given the periods that the server has.
        let (code, out, err) = server.doctor(&["--retention", "customers=forever"]).await;
        assert_eq!(code, 0, "{out}{err}");

        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        let release = format!("/api/organizations/{}/holds/{}/release", organization.id, hold["id"].as_str().unwrap());
        expect(server.request(Method::POST, &release).bearer_auth(&token).json(&json!({"reason": "Closed"})), StatusCode::OK).await;
        change_database(&server, "UPDATE transactions SET status = 'settled'").await;
        server.stop().await;
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        wait_until_gone(&server, "held", &token).await;
        wait_until_gone(&server, "open", &token).await;
        server.stop().await;
        let (code, out, err) = server.doctor(&[]).await;
        assert_eq!(code, 0, "{out}{err}");
    }

    async fn what_a_kill_interrupts_is_finished_at_the_next_start_and_counted_once(engine: Engine) {
        let planted = if engine == Engine::Sqlite { 40_000 } else { 15_000 };
        let mut server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        server.stop().await;
        let (made_up, uuid) = match engine {
            Engine::Sqlite => ("randomblob(16)", format!("x'{}'", organization.id.replace('-', ""))),
            Engine::Postgresql => ("gen_random_uuid()", format!("'{}'", organization.id)),
        };
        let ago = days_ago(&server, 2_193);
        let plant = format!(
            "INSERT INTO audit_entries (organization_id, id, action, outcome, subject, actor, reason, request_id, created_at)
             WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {planted})
             SELECT {uuid}, {made_up}, 'customer.delete', 'done', 'customer', 'user', 'aged', 'test', {ago} FROM series"
        );
        change_database(&server, &plant).await;
        let left = "SELECT count(*) FROM audit_entries WHERE reason = 'aged'";
        let told = match engine {
            Engine::Sqlite => "SELECT coalesce(sum(CAST(detail AS integer)), 0) FROM audit_entries WHERE action = 'retention.erase'",
            Engine::Postgresql => "SELECT coalesce(sum(split_part(detail, ' ', 1)::bigint), 0)::bigint FROM audit_entries WHERE action = 'retention.erase'",
        };
        server.start_again().await;
        while number(&server, left).await == planted {
            tokio::task::yield_now().await;
        }
        server.kill().await;
        let rest = number(&server, left).await;
        assert!(rest > 0, "it was done before it was killed");
        assert_eq!(number(&server, told).await, planted - rest, "what the trail says is what was erased, at any moment");
        server.start_again().await;
        while number(&server, left).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(number(&server, told).await, planted);
        assert!(number(&server, "SELECT count(*) FROM audit_entries WHERE action = 'organization.create'").await > 0, "what is young stays");
    }
}

#[tokio::test]
async fn a_period_that_does_not_exist_is_refused_with_those_that_do() {
    let serve = async |argument: &str, variable: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(["serve", "--listen=127.0.0.1:0", "--data=/nonexistent/freehold", argument]).env("FREEHOLD_RETENTION", variable);
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap())
    };
    for (argument, variable) in [("--retention=custommers=30", ""), ("--connections=1", "custommers=30")] {
        let (code, words) = serve(argument, if variable.is_empty() { "customers=1" } else { variable }).await;
        assert!(code == 2 && words.contains("there is no period called custommers"), "{words}");
        assert!(
            words.contains("customers, receipts, audit, holds, invitations, deliveries, exports, answers, sessions, tokens"),
            "{words}"
        );
    }
    let (code, words) = serve("--retention=customers=0", "customers=1").await;
    assert!(code == 2 && words.contains("customers must be 1 to 36500 days, or forever"), "{words}");
    let (code, words) = serve("--help", "customers=1").await;
    assert!(code == 0 && words.contains("customers (365 days), receipts (2192 days)"), "{words}");
}
