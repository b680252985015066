//! Deletions with a grace period: access ends at once, nothing is erased before its end, and until then all can be taken back but for the
//! credentials.

use std::collections::BTreeMap;
use std::time::Duration;

use plane::api_keys::{self, Kind, NewApiKey};
use plane::credentials::{Presented, authenticate};
use plane::customers::{self, Customer, Deleting, NewCustomer};
use plane::deletions::{self, Deletion, Details};
use plane::holds::{self, NewHold};
use plane::ids::OrganizationRef;
use plane::members::{self, MemberFilter};
use plane::organizations::{self, NewOrganization, Organization};
use plane::page::PageRequest;
use plane::policy::Role;
use plane::purges::{self, Criteria, Meant};
use plane::{Cx, Error, sessions, users};
use serde_json::json;
use uuid::Uuid;

use crate::on_both_engines;
use crate::people::uncounted;
use crate::residue::cells_with;
use crate::stage::Stage;
use crate::world::{deliver, furnish, new_customer};

on_both_engines! {
    an_organization_that_is_taken_back_is_as_it_was_but_for_what_opens_it
    a_customer_that_is_taken_back_is_as_it_was_however_it_was_deleted
    a_member_that_is_taken_back_has_the_old_role_and_none_of_the_old_keys
    what_is_archived_and_unarchived_is_as_it_was_but_for_what_opens_it
    nothing_is_erased_before_the_end_of_the_grace_period_and_all_after_it
    a_name_is_taken_until_the_completion_and_free_after_it
    of_the_end_of_a_grace_period_and_a_restoration_one_wins
    what_the_server_deletes_by_itself_has_no_grace_period
    a_user_who_deletes_their_account_does_not_wait_for_a_grace_period
    a_user_who_deleted_their_account_meanwhile_does_not_come_back_with_the_organization
    what_webhooks_were_told_of_a_deletion_that_was_taken_back_goes_with_the_customer_later
    a_purge_rests_while_its_organization_does_and_goes_on_when_that_is_taken_back
    an_archive_ends_nothing_that_a_legal_hold_keeps
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn an_organization_that_is_taken_back_is_as_it_was_but_for_what_opens_it(stage: Stage) {
    let organization = furnish(&stage.owner, "returning").await;
    let key =
        api_keys::create(&stage.now(), &OrganizationRef::Id(organization), NewApiKey::new(Kind::Organization, "Key")).await.unwrap().1;
    stage.grant(organization, 30).await;
    let before = stage.digest().await;
    let deletion = stage.delete_organization(organization).await;
    assert_eq!((deletion.state.name(), deletion.completed_at), ("reversible", None));
    assert_eq!(deletion.reversible_until, Some(deletion.created_at + 30 * DAY));
    let gone = organizations::get(&stage.now(), &OrganizationRef::Id(organization)).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    stage.plane.clock.advance(29 * DAY);
    stage.drain().await;
    let restored = deletions::restore(&stage.now(), deletion.id).await.unwrap().deletion;
    assert_eq!((restored.state.name(), restored.restored_at.is_some()), ("restored", true));
    assert_eq!(stage.digest().await, before);
    for table in ["api_keys", "oauth_tokens"] {
        assert_eq!(stage.count(table, organization).await, 0, "{table}");
    }
    let opened = authenticate(Cx::new(&stage.plane, "test"), Presented::ApiKey(&key)).await;
    assert!(matches!(opened, Err(Error::Unauthenticated)));
    organizations::get(&stage.now(), &OrganizationRef::Id(organization)).await.unwrap();
    // Restored once is restored: nothing happens later, and a repeated request changes nothing.
    assert_eq!(deletions::restore(&stage.now(), deletion.id).await.unwrap().deletion.restored_at, restored.restored_at);
    stage.plane.clock.advance(10 * DAY);
    stage.drain().await;
    assert_eq!(stage.digest().await, before);
}

async fn a_customer_that_is_taken_back_is_as_it_was_however_it_was_deleted(stage: Stage) {
    let organization = furnish(&stage.owner, "customers").await;
    stage.cancel_subscriptions(organization).await;
    stage.grant(organization, 7).await;
    let before = stage.digest().await;
    for how in [Deleting::Permanently, Deleting::Softly, Deleting::Hard] {
        let deletion = stage.delete(organization, "customer", how).await.unwrap();
        assert_eq!(deletion.state.name(), "reversible");
        let gone = customers::get(&stage.now(), &OrganizationRef::Id(organization), "customer").await;
        assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
        deletions::restore(&stage.now(), deletion.id).await.unwrap();
        assert_eq!(stage.digest().await, before, "{how:?}");
        customers::get(&stage.now(), &OrganizationRef::Id(organization), "customer").await.unwrap();
    }
    // Who was softly deleted before is that again, and no more.
    let softly = stage.delete(organization, "customer", Deleting::Softly).await.unwrap();
    let hard = stage.delete(organization, "customer", Deleting::Hard).await.unwrap();
    let refused = deletions::restore(&stage.now(), softly.id).await;
    assert!(matches!(&refused, Err(Error::Conflict(words)) if words.contains("another deletion")), "{refused:?}");
    deletions::restore(&stage.now(), hard.id).await.unwrap();
    let gone = customers::get(&stage.now(), &OrganizationRef::Id(organization), "customer").await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    deletions::restore(&stage.now(), softly.id).await.unwrap();
    assert_eq!(stage.digest().await, before);
}

async fn a_member_that_is_taken_back_has_the_old_role_and_none_of_the_old_keys(stage: Stage) {
    let (organization, _) = stage.found("members", 0).await;
    let (person, member) = stage.join(organization, "second@example.com").await;
    let key = api_keys::create(&person, &OrganizationRef::Id(organization), NewApiKey::new(Kind::Organization, "Key")).await.unwrap().1;
    stage.grant(organization, 7).await;
    let before = stage.digest().await;
    let deletion = members::remove(&stage.now(), &OrganizationRef::Id(organization), member, None).await.unwrap();
    assert_eq!(deletion.state.name(), "reversible");
    assert!(authenticate(Cx::new(&stage.plane, "test"), Presented::ApiKey(&key)).await.is_err());
    let outside = organizations::get(&person, &OrganizationRef::Id(organization)).await;
    assert!(matches!(outside, Err(Error::Outsider(_))), "{outside:?}");
    deletions::restore(&stage.now(), deletion.id).await.unwrap();
    assert_eq!(stage.digest().await, before);
    organizations::get(&person, &OrganizationRef::Id(organization)).await.unwrap();
    assert!(authenticate(Cx::new(&stage.plane, "test"), Presented::ApiKey(&key)).await.is_err());
}

async fn what_is_archived_and_unarchived_is_as_it_was_but_for_what_opens_it(stage: Stage) {
    let id = furnish(&stage.owner, "archive").await;
    let organization = OrganizationRef::Id(id);
    let before = stage.digest().await;
    stage.plane.clock.advance(DAY);
    customers::archive(&stage.now(), &organization, "customer").await.unwrap();
    assert_eq!((stage.count("customer_sessions", id).await, stage.count("devices", id).await), (0, 0));
    assert!(stage.count("api_keys", id).await > 0);
    organizations::archive(&stage.now(), &organization).await.unwrap();
    assert_eq!((stage.count("api_keys", id).await, stage.count("oauth_tokens", id).await), (0, 0));
    stage.plane.clock.advance(DAY);
    stage.drain().await;
    assert_ne!(stage.digest().await, before);
    organizations::unarchive(&stage.now(), &organization).await.unwrap();
    customers::unarchive(&stage.now(), &organization, "customer").await.unwrap();
    assert_eq!(stage.digest().await, before);
}

async fn nothing_is_erased_before_the_end_of_the_grace_period_and_all_after_it(stage: Stage) {
    let organization = furnish(&stage.owner, "ending").await;
    stage.grant(organization, 7).await;
    let deletion = stage.delete_organization(organization).await;
    let closed = stage.digest().await;
    stage.plane.clock.advance(7 * DAY - Duration::from_secs(60));
    stage.drain().await;
    assert_eq!(stage.digest().await, closed);
    let progress = deletions::watch(&stage.now(), deletion.id).await.unwrap().progress(stage.plane.clock.now(), None);
    assert_eq!(progress.conditions[0].kind, "grace_period");
    stage.plane.clock.advance(Duration::from_secs(60));
    // No worker was quick enough to begin, and it is too late all the same.
    let refused = deletions::restore(&stage.now(), deletion.id).await;
    assert!(matches!(&refused, Err(Error::Conflict(words)) if words.contains("is over")), "{refused:?}");
    for _ in 0..3 {
        // Its webhook is told, or given up.
        stage.drain().await;
        deliver(&stage.plane, 200).await;
    }
    stage.drain().await;
    let record = stage.record(&deletion).await;
    assert_eq!(record.state.name(), "completed", "{record:?}");
    assert_eq!(stage.count("customers", organization).await, 0);
    let refused = deletions::restore(&stage.now(), deletion.id).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
}

async fn a_name_is_taken_until_the_completion_and_free_after_it(stage: Stage) {
    let (organization, _) = stage.found("names", 0).await;
    new_customer(&stage.now(), organization, "user123").await;
    stage.grant(organization, 7).await;
    stage.delete(organization, "user123", Deleting::Permanently).await.unwrap();
    let again = stage.try_new_customer(organization, "user123").await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    stage.plane.clock.advance(8 * DAY);
    stage.drain().await;
    stage.try_new_customer(organization, "user123").await.unwrap();
    stage.delete_organization(organization).await;
    let again = stage.try_found("names").await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    stage.plane.clock.advance(8 * DAY);
    stage.drain().await;
    stage.try_found("names").await.unwrap();
}

async fn of_the_end_of_a_grace_period_and_a_restoration_one_wins(stage: Stage) {
    let (organization, _) = stage.found("racing", 0).await;
    stage.grant(organization, 1).await;
    for turn in 0..20 {
        let reference = format!("user{turn}");
        new_customer(&stage.now(), organization, &reference).await;
        let deletion = stage.delete(organization, &reference, Deleting::Permanently).await.unwrap();
        let in_time = stage.now();
        stage.plane.clock.advance(DAY);
        let (restored, _) = tokio::join!(deletions::restore(&in_time, deletion.id), stage.drain());
        stage.drain().await;
        let found = customers::get(&stage.now(), &OrganizationRef::Id(organization), &reference).await;
        let state = stage.record(&deletion).await.state.name();
        match restored {
            Ok(_) => assert!(found.is_ok() && state == "restored", "{state} {found:?}"),
            Err(Error::Conflict(_)) => assert!(matches!(found, Err(Error::NotFound(_))) && state == "completed", "{state} {found:?}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

async fn what_the_server_deletes_by_itself_has_no_grace_period(stage: Stage) {
    let (organization, _) = stage.found("doctor", 0).await;
    new_customer(&stage.now(), organization, "user123").await;
    stage.grant(organization, 7).await;
    let close = format!("UPDATE customers SET state = 'closed' WHERE organization_id = {}", stage.engine.uuid(organization));
    stage.engine.run(&close, &close).await.unwrap();
    assert_eq!(plane::doctor::repair(&stage.plane).await.unwrap().ordered, 1);
    stage.drain().await;
    assert_eq!(stage.count("customers", organization).await, 0);
}

async fn a_user_who_deletes_their_account_does_not_wait_for_a_grace_period(stage: Stage) {
    let (organization, _) = stage.found("leaving", 0).await;
    let (removed, member) = stage.join(organization, "removed@example.com").await;
    let (leaving, _) = stage.join(organization, "leaving@example.com").await;
    stage.grant(organization, 7).await;
    let removal = members::remove(&stage.now(), &OrganizationRef::Id(organization), member, None).await.unwrap();
    for person in [removed, leaving] {
        let account = users::delete(&person, None).await.unwrap();
        stage.drain().await;
        let left = stage.engine.count(&format!("SELECT count(*) FROM users WHERE id = {}", stage.engine.uuid(account.subject))).await;
        assert_eq!(left, 0);
    }
    assert_eq!(stage.record(&removal).await.state.name(), "completed");
}

async fn a_user_who_deleted_their_account_meanwhile_does_not_come_back_with_the_organization(stage: Stage) {
    let (organization, _) = stage.found("without-them", 0).await;
    let (leaving, member) = stage.join(organization, "leaving@example.com").await;
    stage.grant(organization, 7).await;
    let deletion = stage.delete_organization(organization).await;
    let account = users::delete(&leaving, None).await.unwrap();
    stage.drain().await;
    let accounts = format!("SELECT count(*) FROM users WHERE id = {}", stage.engine.uuid(account.subject));
    assert_eq!(stage.engine.count(&accounts).await, 1, "the account waits for the membership");
    deletions::restore(&stage.now(), deletion.id).await.unwrap();
    let gone = members::get(&stage.now(), &OrganizationRef::Id(organization), member).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    stage.drain().await;
    assert_eq!(stage.engine.count(&accounts).await, 0);
    // And an organization that would have no owner is not given back.
    let (alone, _) = stage.found("nobodys", 0).await;
    stage.grant(alone, 7).await;
    let (other, member) = stage.join(alone, "other@example.com").await;
    members::change_role(&stage.now(), &OrganizationRef::Id(alone), member, Role::Owner).await.unwrap();
    let own = members::list(&stage.now(), &OrganizationRef::Id(alone), &MemberFilter::default(), PageRequest::new(1, 10)).await.unwrap();
    let own = own.entries.into_iter().find(|one| one.id != member).unwrap().id;
    members::remove(&stage.now(), &OrganizationRef::Id(alone), own, None).await.unwrap();
    stage.drain().await;
    let now = Cx::new(&stage.plane, "test").with_actor(other.actor.clone());
    let deletion = organizations::delete(&now, &OrganizationRef::Id(alone), Details::default()).await.unwrap();
    users::delete(&other, None).await.unwrap();
    let operator = "UPDATE users SET is_operator = true WHERE email = 'owner@example.com'";
    stage.engine.run(operator, operator).await.unwrap();
    let operator =
        sessions::sign_in(&uncounted(&Cx::new(&stage.plane, "test")), "owner@example.com", "correct horse".into(), None).await.unwrap();
    let operator = authenticate(Cx::new(&stage.plane, "test"), Presented::Bearer(&operator.access_token)).await.unwrap();
    let refused = deletions::restore(&operator, deletion.id).await;
    assert!(matches!(&refused, Err(Error::Conflict(words)) if words.contains("no one is left")), "{refused:?}");
}

async fn what_webhooks_were_told_of_a_deletion_that_was_taken_back_goes_with_the_customer_later(stage: Stage) {
    let (organization, _) = stage.found("told", 1).await;
    new_customer(&stage.now(), organization, "marker-reference").await;
    stage.grant(organization, 7).await;
    let first = stage.delete(organization, "marker-reference", Deleting::Permanently).await.unwrap();
    deliver(&stage.plane, 200).await;
    deletions::restore(&stage.now(), first.id).await.unwrap();
    deliver(&stage.plane, 200).await;
    stage.delete(organization, "marker-reference", Deleting::Permanently).await.unwrap();
    deliver(&stage.plane, 200).await;
    stage.plane.clock.advance(8 * DAY);
    for _ in 0..2 {
        stage.drain().await;
        deliver(&stage.plane, 200).await;
    }
    assert_eq!(cells_with(&stage.engine, &stage.schema, "marker-reference").await, Vec::<String>::new());
}

async fn a_purge_rests_while_its_organization_does_and_goes_on_when_that_is_taken_back(stage: Stage) {
    let (organization, _) = stage.found("purged", 0).await;
    for number in 0..5 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
    }
    let all = Meant::Criteria(Criteria { is_all: true, ..Criteria::default() });
    let purge = purges::order(&stage.now(), &OrganizationRef::Id(organization), &all, None, None).await.unwrap();
    stage.grant(organization, 7).await;
    let deletion = stage.delete_organization(organization).await;
    stage.drain().await;
    assert_eq!((stage.record(&purge).await.completed_at, stage.count("customers", organization).await), (None, 5));
    deletions::restore(&stage.now(), deletion.id).await.unwrap();
    stage.drain().await;
    assert_eq!(stage.count("purge_items", organization).await, 5);
    assert_eq!(stage.record(&purge).await.state.name(), "completed");
}

async fn an_archive_ends_nothing_that_a_legal_hold_keeps(stage: Stage) {
    let id = furnish(&stage.owner, "held").await;
    let organization = OrganizationRef::Id(id);
    let new = NewHold { reason: "Case".into(), until: None };
    let hold = holds::place(&stage.now(), &organization, holds::Subject::Customer("customer".into()), new).await.unwrap();
    let refused = customers::archive(&stage.now(), &organization, "customer").await;
    assert!(matches!(&refused, Err(Error::Blocked(blockers)) if blockers.len() == 1), "{refused:?}");
    assert!(stage.count("customer_sessions", id).await > 0);
    holds::release(&stage.now(), &organization, hold.id, "Closed".into()).await.unwrap();
    customers::archive(&stage.now(), &organization, "customer").await.unwrap();
}

impl Stage {
    /// Sets a grace period of so many days for whatever is deleted in an organization.
    pub(crate) async fn grant(&self, organization: Uuid, days: u32) {
        for kind in ["organization", "member", "customer"] {
            let insert = format!(
                "INSERT INTO requirements (organization_id, kind, reason_required, confirmation_required, approval_required, grace_days, updated_at)
                 VALUES ({}, '{kind}', false, false, false, {days}, ",
                self.engine.uuid(organization)
            );
            let granted = format!("ON CONFLICT (organization_id, kind) DO UPDATE SET grace_days = {days}");
            self.engine.run(&format!("{insert} 0) {granted}"), &format!("{insert} now()) {granted}")).await.unwrap();
        }
    }

    /// What there is but for what opens something, and for what tells of it.
    async fn digest(&self) -> BTreeMap<String, Vec<String>> {
        let credentials = ["api_keys", "oauth_tokens", "sessions", "customer_sessions", "devices"];
        let telling = ["audit_entries", "deletions", "effects", "idempotent_answers", "signing_keys"];
        let is_wanted = |table: &str, column: &str| {
            let counts_changes = ["version", "revision"].contains(&column);
            let is_secret = table == "oauth_apps" && ["secret_hash", "updated_at"].contains(&column);
            !credentials.contains(&table) && !telling.contains(&table) && !counts_changes && !is_secret
        };
        self.engine.rows_of(&self.schema, is_wanted).await
    }

    /// What is open keeps a customer from being deleted.
    async fn cancel_subscriptions(&self, organization: Uuid) {
        for change in ["subscriptions SET status = 'cancelled'", "transactions SET status = 'settled'"] {
            let update = format!("UPDATE {change} WHERE organization_id = {}", self.engine.uuid(organization));
            self.engine.run(&update, &update).await.unwrap();
        }
    }

    async fn try_new_customer(&self, organization: Uuid, reference: &str) -> plane::Result<Customer> {
        let new = NewCustomer {
            reference: Some(reference.into()),
            name: "Customer".into(),
            email: "customer@example.com".into(),
            phone: None,
            tax_id: None,
            address: json!({}),
            metadata: json!({}),
            managed_by: None,
        };
        customers::create(&self.now(), &OrganizationRef::Id(organization), new).await
    }

    async fn try_found(&self, slug: &str) -> plane::Result<Organization> {
        let new = NewOrganization { name: "Organization".into(), slug: slug.into(), logo: None, metadata: json!({}) };
        organizations::create(&self.now(), new).await
    }

    async fn delete_organization(&self, organization: Uuid) -> Deletion {
        organizations::delete(&self.now(), &OrganizationRef::Id(organization), Details::default()).await.unwrap()
    }
}
