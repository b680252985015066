//! The credentials file: who can read it, where its tokens go, and how they are renewed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value as Json;

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server};

fn stored(shell: &Shell) -> Json {
    serde_json::from_str(&fs::read_to_string(shell.credentials_file()).unwrap()).unwrap()
}

/// Makes the access token one that has ended, as far as the server can tell.
fn end_the_access_token(shell: &Shell) {
    let mut credentials = stored(shell);
    credentials["access_token"] = "an.old.one".into();
    fs::write(shell.credentials_file(), credentials.to_string()).unwrap();
}

on_both_engines! {
    async fn only_its_owner_can_read_the_credentials_file(server: Server) {
        let shell = Shell::new(&server);
        shell.sign_in("ada@example.com").await;
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = shell.credentials_file();
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert_eq!(stored(&shell)["server"], server.url);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let said = shell.run("users me").await;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("chmod 600"), "{said:?}");
    }

    async fn a_sign_out_ends_the_session_and_removes_the_file(server: Server) {
        let shell = Shell::new(&server);
        shell.sign_in("ada@example.com").await;
        let token = stored(&shell)["access_token"].as_str().unwrap().to_owned();
        let copied = Shell::new(&server).with("FREEHOLD_TOKEN", &token);
        assert_eq!(copied.run("users me").await.code, 0);
        assert_eq!(shell.run("sign-out").await.code, 0);
        assert!(!shell.credentials_file().exists());
        assert_eq!((shell.run("users me").await.code, copied.run("users me").await.code), (3, 3));
        assert_eq!(shell.run("sign-out").await.code, 3);
    }

    async fn people_delete_their_own_account_and_are_signed_out_everywhere(server: Server) {
        let shell = Shell::new(&server);
        shell.sign_in("ada@example.com").await;
        let plan = shell.run("users delete-me --validate-only").await;
        assert_eq!((plan.code, plan.err.contains("To be deleted: ada@example.com")), (0, true), "{plan:?}");
        let unconfirmed = shell.run("users delete-me --yes somebody@example.com").await;
        assert_eq!(unconfirmed.code, 2, "{unconfirmed:?}");
        assert_eq!(shell.run("users me").await.code, 0);
        let said = shell.run("users delete-me --yes ada@example.com").await;
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(shell.run("users me").await.code, 3);
        // The address is free again once the account is gone.
        assert_eq!(shell.run_with("users create --email ada@example.com", "correct horse battery staple\n").await.code, 0);
    }

    async fn a_token_that_has_ended_is_renewed_once_however_many_ask(server: Server) {
        let shell = Shell::new(&server);
        shell.sign_in("ada@example.com").await;
        end_the_access_token(&shell);
        let before = stored(&shell);
        let line = "users me";
        let said = tokio::join!(shell.run(line), shell.run(line), shell.run(line), shell.run(line));
        assert_eq!((said.0.code, said.1.code, said.2.code, said.3.code), (0, 0, 0, 0), "{said:?}");
        let after = stored(&shell);
        assert_ne!(after["refresh_token"], before["refresh_token"]);
        assert_eq!(fs::metadata(shell.credentials_file()).unwrap().permissions().mode() & 0o777, 0o600);
        // A session that has ended cannot be renewed.
        assert_eq!(shell.run("sign-out").await.code, 0);
        fs::write(shell.credentials_file(), before.to_string()).unwrap();
        fs::set_permissions(shell.credentials_file(), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(shell.run("users me").await.code, 3);
        // There is nothing left to end, and so it is forgotten.
        assert_eq!(shell.run("sign-out").await.code, 0);
        assert!(!shell.credentials_file().exists());
    }
}

on_both_engines! {
    async fn what_is_given_on_the_command_line_goes_before_the_environment_and_the_file(server: Server) {
        let (ada, bob) = (server.new_person().await, server.new_person().await);
        let shell = Shell::new(&server);
        shell.sign_in("file@example.com").await;
        let shell = shell.with("FREEHOLD_TOKEN", &ada.token);
        assert_eq!(shell.run("users me").await.field("email"), ada.email);
        assert_eq!(shell.run(&format!("users me --token {}", bob.token)).await.field("email"), bob.email);
        let shell = shell.with("FREEHOLD_TOKEN", "");
        assert_eq!(shell.run("users me").await.field("email"), "file@example.com");
    }

    async fn a_password_can_be_typed_at_the_terminal(server: Server) {
        let shell = Shell::new(&server);
        let typed = "a long password\na long password\n";
        let said = shell.type_into("users create --email ada@example.com", typed).await;
        assert_eq!(said.code, 0, "{said:?}");
        let said = shell.run_with("sign-in --email ada@example.com", "a long password\n").await;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(!said.out.contains("a long password"), "{said:?}");
    }
}

on_both_engines! {
    async fn tokens_of_the_file_go_to_no_other_server(engine: Engine) {
        let (server, other) = (Server::start(engine, &[]).await, Server::start(engine, &[]).await);
        let shell = Shell::new(&server);
        shell.sign_in("ada@example.com").await;
        let said = shell.run(&format!("users me --server {}", other.url)).await;
        assert_eq!(said.code, 3);
        assert!(said.err.contains(&server.url) && said.err.contains("sign-in --server"), "{said:?}");
        // Without a server's name it is the one signed in to.
        let shell = shell.with("FREEHOLD_SERVER", "");
        assert_eq!(shell.run("users me").await.code, 0);
    }
}

on_both_engines! {}
