//! API keys: what was mistyped or made up costs no look-up, when a key was used costs no write, and its end is told beforehand.

use std::sync::Arc;
use std::time::Duration;

use plane::api_keys::{self, Kind, NewApiKey};
use plane::credentials::{Presented, authenticate};
use plane::ids::OrganizationRef;
use plane::organizations::{self, NewOrganization};
use plane::webhooks::{self, NewWebhook};
use plane::{Clock, Config, Cx, DatabaseOptions, Plane, maintenance};
use uuid::Uuid;

use crate::engines::make_database;
use crate::world::{Engine, sign_in};

async fn found(owner: &Cx) -> OrganizationRef {
    let new = NewOrganization { name: "Organization".into(), slug: "organization".into(), logo: None, metadata: serde_json::json!({}) };
    OrganizationRef::Id(organizations::create(owner, new).await.unwrap().id)
}

async fn make(owner: &Cx, organization: &OrganizationRef, kind: Kind) -> (Uuid, String) {
    let (key, secret) = api_keys::create(owner, organization, NewApiKey::new(kind, "Key")).await.unwrap();
    (key.id, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_mutations_of_a_character_are_refused_without_a_look_up() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let plane = Plane::open(Config::new(DatabaseOptions::new(url)), Clock::default()).await.unwrap();
    let owner = sign_in(&plane).await;
    let organization = found(&owner).await;
    let anonymous = Cx::new(&plane, "test");
    let mut keys = Vec::new();
    for number in 0..180 {
        keys.push(make(&owner, &organization, Kind::ALL[number % 3]).await.1);
    }
    let before = plane.credential_lookups();
    let mut tried = 0;
    // Every place, the prefix too, with every other character of ASCII there.
    for key in &keys {
        for place in 0..key.len() {
            for byte in (0..128).filter(|byte| *byte != key.as_bytes()[place]) {
                let mut changed = key.clone().into_bytes();
                changed[place] = byte;
                let changed = String::from_utf8(changed).unwrap();
                assert!(authenticate(anonymous.clone(), Presented::ApiKey(&changed)).await.is_err(), "{changed}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1_000_000, "{tried}");
    assert_eq!(plane.credential_lookups(), before);
    for key in &keys {
        assert!(authenticate(anonymous.clone(), Presented::ApiKey(key)).await.is_ok());
    }
    assert_eq!(plane.credential_lookups(), before + 180, "the counter counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_written_down_by_the_upkeep_and_brings_nothing_back_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    let plane = Plane::open(Config::new(DatabaseOptions::new(format!("sqlite:{}", file.display()))), Clock::default()).await.unwrap();
    write_down(&plane, &Engine::Sqlite(file)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_written_down_by_the_upkeep_and_brings_nothing_back_on_postgresql() {
    let url = make_database().await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let plane = Plane::open(Config::new(DatabaseOptions::new(url)), Clock::default()).await.unwrap();
    write_down(&plane, &Engine::Postgres(client)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_key_is_told_thirty_seven_and_one_days_before_each_once_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    let plane = Plane::open(Config::new(DatabaseOptions::new(format!("sqlite:{}", file.display()))), Clock::default()).await.unwrap();
    tell_of_ends(&plane, &Engine::Sqlite(file)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_key_is_told_thirty_seven_and_one_days_before_each_once_on_postgresql() {
    let url = make_database().await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let plane = Plane::open(Config::new(DatabaseOptions::new(url)), Clock::default()).await.unwrap();
    tell_of_ends(&plane, &Engine::Postgres(client)).await;
}

async fn tell_of_ends(plane: &Arc<Plane>, engine: &Engine) {
    let owner = sign_in(plane).await;
    let organization = found(&owner).await;
    let events = vec!["api_key.expiring".into()];
    let hook = NewWebhook { url: "https://example.com".into(), description: None, events, is_active: true };
    webhooks::create(&owner, &organization, hook).await.unwrap();
    // Hours, so that no step falls on the very moment. One ends in 40 days, one in 5, and one never.
    for hours in [Some(40 * 24), Some(5 * 24), None] {
        let expires_at = hours.map(|hours| owner.now + Duration::from_secs(hours * 3_600));
        let new = NewApiKey { expires_at, ..NewApiKey::new(Kind::Organization, "Key") };
        api_keys::create(&owner, &organization, new).await.unwrap();
    }
    let told = "SELECT count(*) FROM effects WHERE action = 'api_key.expiring'";
    let mut passed = 0;
    // Of the one that ends in 5 days, only the last day is told: that it ends within 30 and 7 days was known when it was made.
    for (hours, expected) in
        [(1, 0), (4 * 24 + 1, 1), (4 * 24 + 2, 1), (10 * 24 + 1, 2), (33 * 24 + 1, 3), (39 * 24 + 1, 4), (39 * 24 + 2, 4), (41 * 24, 4)]
    {
        plane.clock.advance(Duration::from_secs((hours - passed) * 3_600));
        passed = hours;
        maintenance::once(plane).await.unwrap();
        assert_eq!(engine.count(told).await, expected, "after {hours} hours");
    }
}

async fn write_down(plane: &Arc<Plane>, engine: &Engine) {
    let owner = sign_in(plane).await;
    let organization = found(&owner).await;
    let (used, secret) = make(&owner, &organization, Kind::Organization).await;
    let (doomed, doomed_secret) = make(&owner, &organization, Kind::Organization).await;
    let written = "SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL";
    assert_eq!(api_keys::get(&owner, &organization, used).await.unwrap().last_used_at, None);
    let mut latest = None;
    for _ in 0..50 {
        latest = Some(authenticate(Cx::new(plane, "test"), Presented::ApiKey(&secret)).await.unwrap().now);
        authenticate(Cx::new(plane, "test"), Presented::ApiKey(&doomed_secret)).await.unwrap();
    }
    // Told at once, written later.
    assert_eq!(api_keys::get(&owner, &organization, used).await.unwrap().last_used_at, latest);
    assert_eq!(engine.count(written).await, 0);
    api_keys::revoke(&owner, &organization, doomed, None).await.unwrap();
    maintenance::once(plane).await.unwrap();
    assert_eq!((engine.count(written).await, engine.count("SELECT count(*) FROM api_keys").await), (1, 1));
    assert_eq!(api_keys::get(&owner, &organization, used).await.unwrap().last_used_at, latest);
}
