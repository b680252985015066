//! `freehold exports`: ordered, waited for and fetched by hand, and nothing overwritten that was not meant to be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Shell;
use crate::exports::Archive;
use crate::on_both_engines;
use crate::support::{Engine, Server};
use crate::tools::new_customer;

on_both_engines! {
    async fn an_export_is_ordered_waited_for_and_fetched_by_hand(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "ada", None).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let folder = tempfile::tempdir().unwrap();

        let made = shell.run("exports create --wait").await;
        assert_eq!((made.field("state"), made.field("root")), ("done".into(), "organization".into()));
        assert!(made.err.contains("done: "), "who has no terminal is told in lines: {made:?}");
        let export = made.field("id");
        assert_eq!(shell.run("exports create --customer ada").await.field("subject label"), "ada");
        assert_eq!(shell.run("exports create --customer nobody").await.code, 4);
        let listed = shell.run("exports list").await;
        assert!(listed.out.contains(&export) && listed.out.contains("ada"), "{listed:?}");
        assert_eq!(shell.run(&format!("exports show {export}")).await.field("state"), "done");

        let into = shell.run(&format!("exports download {export} --to {}", folder.path().display())).await;
        let file = folder.path().join(format!("freehold-export-{export}.zip"));
        assert_eq!(into.field("file"), file.display().to_string());
        assert_eq!(Archive::unpack(fs::read(&file).unwrap()).rows("customers")[0]["reference"], "ada");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(&file, "precious").unwrap();
        let line = format!("exports download {export} --to {}", file.display());
        let refused = shell.run(&line).await;
        assert!(refused.code == 2 && refused.err.contains("--force"), "{refused:?}");
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        assert_eq!(shell.run(&format!("{line} --force")).await.code, 0);
        Archive::unpack(fs::read(&file).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    async fn what_cannot_be_fetched_leaves_no_file(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let folder = tempfile::tempdir().unwrap();
        let line = format!("exports download {} --to {}", organization.id, folder.path().display());
        assert_eq!(shell.run(&line).await.code, 4);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
