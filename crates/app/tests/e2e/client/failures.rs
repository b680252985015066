//! Exit codes, and that no secret is in the words of a failure.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server};

on_both_engines! {
    async fn each_failure_has_its_exit_code(server: Server) {
        let organization = server.new_organization().await;
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        let owner = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let viewer = Shell::new(&server).with("FREEHOLD_TOKEN", &viewer.token);
        let nobody = Shell::new(&server);
        assert_eq!(owner.run("organizations create --name Ab --slug new-slug").await.code, 1);
        assert_eq!(owner.run("organizations frobnicate").await.code, 2);
        assert_eq!(owner.run("members list --organization").await.code, 2);
        assert_eq!(owner.run("customers show ..").await.code, 2);
        assert_eq!(nobody.run("users me").await.code, 3);
        assert_eq!(viewer.run("keys create --name Import").await.code, 3);
        assert_eq!(viewer.run(&format!("organizations delete {0} --yes {0}", organization.slug)).await.code, 3);
        assert_eq!(owner.run("customers show nobody").await.code, 4);
        assert_eq!(owner.run(&format!("organizations create --name Another --slug {}", organization.slug)).await.code, 5);
        assert_eq!(owner.run("users me --server http://127.0.0.1:1").await.code, 6);
    }

    async fn each_field_that_was_refused_is_told(server: Server) {
        let organization = server.new_organization().await;
        let owner = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let said = owner.run("organizations create --name A --slug B").await;
        assert!(said.err.contains("name (too_short)") && said.err.contains("slug (invalid_slug)"), "{said:?}");
        assert_eq!(said.out, "");
    }
}

on_both_engines! {
    async fn no_secret_is_in_the_words_of_a_failure(server: Server) {
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let (server_with_password, odd) = (server.url.replace("http://", "http://me:hunter2@"), format!("{key}\u{7f}"));
        let cases = [
            (Shell::new(&server).with("FREEHOLD_API_KEY", &key), "members list", 3),
            (Shell::new(&server).with("FREEHOLD_API_KEY", &odd), "members list", 2),
            (Shell::new(&server).with("FREEHOLD_API_KEY", &key), "members --help", 0),
            (Shell::new(&server).with("FREEHOLD_API_KEY", &key).with("FREEHOLD_TOKEN", &key), "members list", 2),
            (Shell::new(&server).with("FREEHOLD_TOKEN", &key), "members list", 3),
            (Shell::new(&server).with("FREEHOLD_TOKEN", &key).with("FREEHOLD_SERVER", "http://127.0.0.1:1"), "members list", 6),
            (Shell::new(&server).with("FREEHOLD_SERVER", &server_with_password), "members list", 2),
        ];
        for (shell, line, code) in cases {
            let said = shell.run(line).await;
            assert_eq!(said.code, code, "{said:?}");
            assert!(![&said.out, &said.err].iter().any(|text| text.contains(&key) || text.contains("hunter2")), "{said:?}");
        }
        let said = Shell::new(&server).run_with("sign-in --email ada@example.com", "my secret password\n").await;
        assert!(said.code == 3 && !said.err.contains("my secret password"), "{said:?}");
    }
}

on_both_engines! {
    async fn too_many_requests_have_an_exit_code_of_their_own(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=1"]).await;
        let shell = Shell::new(&server);
        let mut codes = Vec::new();
        // The minute may end in between, once.
        for _ in 0..3 {
            codes.push(shell.run("users me").await.code);
        }
        assert!(codes.contains(&7) && codes.iter().all(|code| matches!(code, 3 | 7)), "{codes:?}");
    }
}

on_both_engines! {}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let server = Server::start(Engine::Sqlite, &[]).await;
    let target = format!("{}/api/users/me", server.url);
    let answering = tokio::spawn(async move {
        let (mut stream, _) = elsewhere.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let person = server.new_person().await;
    let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &person.token).with("FREEHOLD_SERVER", &format!("http://{address}"));
    let said = shell.run("users me").await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("/api/users/me"), "{said:?}");
    answering.await.unwrap();
}
