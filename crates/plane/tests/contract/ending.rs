//! The end of more credentials than end in one transaction: what opens them again, or would let them in, finds none that works, whatever comes
//! in between.

use plane::api_keys::{self, Kind, NewApiKey};
use plane::credentials::{Presented, authenticate};
use plane::ids::OrganizationRef;
use plane::{Cx, Error, deletions, maintenance, oauth_apps, oauth_tokens, organizations};
use uuid::Uuid;

use crate::on_both_engines;
use crate::stage::Stage;
use crate::world::Engine;

on_both_engines! {
    a_restoration_that_fails_half_way_opens_nothing_and_the_next_one_ends_the_rest
    what_an_archive_has_not_ended_yet_opens_nothing_and_is_ended_by_the_next_worker
    an_archive_ends_however_much_there_is
}

/// More than two transactions end.
const MANY: i64 = 2_500;

async fn a_restoration_that_fails_half_way_opens_nothing_and_the_next_one_ends_the_rest(stage: Stage) {
    let (organization, _) = stage.found("restored", 0).await;
    let secret = stage.make_keys(organization).await;
    stage.grant(organization, 7).await;
    let here = OrganizationRef::Id(organization);
    let deleted = organizations::delete(&stage.now(), &here, deletions::Details::default()).await.unwrap();
    stage.fail_at_the_last_key().await;
    deletions::restore(&stage.now(), deleted.id).await.expect_err("it was told to fail");
    assert_eq!(stage.count("api_keys", organization).await, 500, "two transactions of a thousand");
    let record = stage.record(&deleted).await;
    assert_eq!((record.state.name(), record.counts["api_keys"].as_i64()), ("reversible", Some(2_000)));
    stage.expect_refused(Presented::ApiKey(&secret)).await;
    stage.fail_no_more().await;
    let restored = deletions::restore(&stage.now(), deleted.id).await.unwrap().deletion;
    assert_eq!((restored.state.name(), restored.counts["api_keys"].as_i64()), ("restored", Some(MANY)));
    assert_eq!(stage.count("api_keys", organization).await, 0);
    stage.expect_refused(Presented::ApiKey(&secret)).await;
    organizations::get(&stage.now(), &here).await.unwrap();
}

async fn what_an_archive_has_not_ended_yet_opens_nothing_and_is_ended_by_the_next_worker(stage: Stage) {
    let (organization, _) = stage.found("archived", 0).await;
    let here = OrganizationRef::Id(organization);
    let key = api_keys::create(&stage.now(), &here, NewApiKey::new(Kind::Organization, "Key")).await.unwrap().1;
    let (name, scopes) = ("App".to_owned(), vec!["read:organization".to_owned()]);
    let new = oauth_apps::NewOauthApp { name, description: None, redirect_uris: Vec::new(), scopes };
    let (app, secret) = oauth_apps::create(&stage.now(), &here, new).await.unwrap();
    let client = oauth_tokens::Client { client_id: app.client_id, secret };
    let pair = oauth_tokens::issue(&stage.now(), &client, None, None).await.unwrap();
    for presented in [Presented::ApiKey(&key), Presented::Bearer(&pair.access_token)] {
        authenticate(Cx::new(&stage.plane, "test"), presented).await.unwrap();
    }
    let tables = ["api_keys", "oauth_tokens"];
    let each = |of: fn(&str) -> String| tables.map(of).concat();
    let keep = each(|table| format!("CREATE TABLE kept_{table} AS SELECT * FROM {table};"))
        + "CREATE TABLE kept_oauth_apps AS SELECT * FROM oauth_apps;";
    stage.engine.run(&keep, &keep).await.unwrap();
    organizations::archive(&stage.now(), &here).await.unwrap();
    // As a crash leaves them, after the archive and before the last of them.
    let leave = each(|table| format!("INSERT INTO {table} SELECT * FROM kept_{table};"))
        // As the secret of an app stays that is made in the same moment.
        + "UPDATE oauth_apps SET secret_hash = (SELECT secret_hash FROM kept_oauth_apps);";
    let are_refused = async || {
        for presented in [Presented::ApiKey(&key), Presented::Bearer(&pair.access_token)] {
            stage.expect_refused(presented).await;
        }
        let refreshed = oauth_tokens::refresh(&stage.now(), None, &pair.refresh_token, None).await;
        assert!(matches!(refreshed, Err(Error::Oauth(..))));
        let issued = oauth_tokens::issue(&stage.now(), &client, None, None).await;
        assert!(matches!(issued, Err(Error::Oauth(..))));
    };
    let left = async || (stage.count("api_keys", organization).await, stage.count("oauth_tokens", organization).await);
    stage.engine.run(&leave, &leave).await.unwrap();
    are_refused().await;
    assert_eq!(left().await, (1, 1));
    maintenance::once(&stage.plane).await.unwrap();
    assert_eq!(left().await, (0, 0));
    stage.engine.run(&leave, &leave).await.unwrap();
    organizations::unarchive(&stage.now(), &here).await.unwrap();
    assert_eq!(left().await, (0, 0));
    are_refused().await;
    // Of others the maintenance ends nothing.
    api_keys::create(&stage.now(), &here, NewApiKey::new(Kind::Organization, "Key")).await.unwrap();
    maintenance::once(&stage.plane).await.unwrap();
    assert_eq!(left().await, (1, 0));
}

async fn an_archive_ends_however_much_there_is(stage: Stage) {
    let (organization, _) = stage.found("archived", 0).await;
    let here = OrganizationRef::Id(organization);
    let secret = stage.make_keys(organization).await;
    stage.fail_at_the_last_key().await;
    // It is archived all the same: its state refuses what is left.
    let archived = organizations::archive(&stage.now(), &here).await.unwrap();
    assert!(archived.archived_at.is_some());
    assert_eq!(stage.count("api_keys", organization).await, 500, "two transactions of a thousand");
    stage.expect_refused(Presented::ApiKey(&secret)).await;
    organizations::unarchive(&stage.now(), &here).await.expect_err("it was told to fail");
    assert!(organizations::get(&stage.now(), &here).await.unwrap().archived_at.is_some());
    stage.fail_no_more().await;
    organizations::unarchive(&stage.now(), &here).await.unwrap();
    assert_eq!(stage.count("api_keys", organization).await, 0);
    stage.expect_refused(Presented::ApiKey(&secret)).await;
    let secret = stage.make_keys(organization).await;
    organizations::archive(&stage.now(), &here).await.unwrap();
    assert_eq!(stage.count("api_keys", organization).await, 0);
    stage.expect_refused(Presented::ApiKey(&secret)).await;
}

impl Stage {
    /// Makes many keys, and returns the secret of one of them.
    async fn make_keys(&self, organization: Uuid) -> String {
        let new = NewApiKey::new(Kind::Organization, "Key");
        let (_, secret) = api_keys::create(&self.now(), &OrganizationRef::Id(organization), new).await.unwrap();
        let (id, hash) = match &self.engine {
            Engine::Sqlite(_) => ("randomblob(16)", "randomblob(32)"),
            Engine::Postgres(_) => ("gen_random_uuid()", "decode(md5(random()::text) || md5(random()::text), 'hex')"),
        };
        let copy = format!(
            "INSERT INTO api_keys (organization_id, id, member_id, kind, name, hint, hash, scopes, created_at)
             WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {})
             SELECT organization_id, {id}, member_id, kind, name, hint, {hash}, scopes, created_at FROM api_keys, series
             WHERE organization_id = {}",
            MANY - 1,
            self.engine.uuid(organization)
        );
        self.engine.run(&copy, &copy).await.unwrap();
        assert_eq!(self.count("api_keys", organization).await, MANY);
        secret
    }

    /// A transaction that ends the last of the keys fails from here on.
    async fn fail_at_the_last_key(&self) {
        let mark = "UPDATE api_keys SET name = 'last' WHERE id = (SELECT id FROM api_keys ORDER BY id DESC LIMIT 1);";
        let on_sqlite =
            "CREATE TRIGGER fail BEFORE DELETE ON api_keys WHEN OLD.name = 'last' BEGIN SELECT RAISE(ABORT, 'told to fail'); END;";
        let on_postgres = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'told to fail'; END $$;
             CREATE TRIGGER fail BEFORE DELETE ON api_keys FOR EACH ROW WHEN (OLD.name = 'last') EXECUTE FUNCTION fail();";
        self.engine.run(&format!("{mark}{on_sqlite}"), &format!("{mark}{on_postgres}")).await.unwrap();
    }

    async fn fail_no_more(&self) {
        self.engine.run("DROP TRIGGER fail", "DROP TRIGGER fail ON api_keys").await.unwrap();
    }

    async fn expect_refused(&self, presented: Presented<'_>) {
        let outcome = authenticate(Cx::new(&self.plane, "test"), presented).await;
        assert!(matches!(outcome, Err(Error::Unauthenticated)));
    }
}
