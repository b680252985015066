//! A PostgreSQL of a test's own, which can be frozen, thawed and followed by a replica. Made with the programs and for the user of the one that
//! all tests share.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::process::Command;

/// Stopped and removed when dropped.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    owner: (u32, u32),
    pub port: u16,
}

/// A connection for the test itself.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Cluster {
    /// An empty one.
    pub async fn start() -> Cluster {
        let cluster = Cluster::place().await;
        let data = cluster.data();
        cluster
            .run("initdb", &["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata", data.to_str().unwrap()])
            .await;
        cluster.launch().await;
        cluster
    }

    /// One that follows this one.
    pub async fn replica(&self) -> Cluster {
        let replica = Cluster::place().await;
        let (from, data) = (format!("--dbname={}", self.url("postgres")), replica.data());
        replica
            .run("pg_basebackup", &[&from, "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata", data.to_str().unwrap()])
            .await;
        replica.launch().await;
        replica
    }

    async fn place() -> Cluster {
        let shared = connect(&std::env::var("FREEHOLD_TEST_POSTGRES").unwrap()).await;
        let about = "SELECT setting, current_setting('data_directory') FROM pg_config WHERE name = 'BINDIR'";
        let row = shared.query_one(about, &[]).await.unwrap();
        let owner = std::fs::metadata(row.get::<_, String>(1)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let owner = (owner.uid(), owner.gid());
        if geteuid().as_raw() != owner.0 {
            chown(folder.path(), Some(owner.0), Some(owner.1)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Cluster { folder, programs: row.get::<_, String>(0).into(), owner, port }
    }

    /// Starts it, as it is.
    pub async fn launch(&self) {
        let options = format!("-p {} -k '' -h 127.0.0.1 -c shared_buffers=32MB -c max_connections=50 -c fsync=off", self.port);
        let (data, log) = (self.data(), self.folder.path().join("log"));
        let start = ["start", "--wait", "--pgdata", data.to_str().unwrap(), "--log", log.to_str().unwrap(), "--options", &options];
        self.run("pg_ctl", &start).await;
    }

    /// Runs one of its programs to its end, as its user.
    pub async fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if geteuid().as_raw() != self.owner.0 {
            command.uid(self.owner.0).gid(self.owner.1);
        }
        assert!(command.status().await.unwrap().success(), "{program} {arguments:?}");
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Stops all of its processes where they are: connections to it are taken, and nothing is answered.
    pub fn freeze(&self) {
        self.send(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        let Ok(file) = std::fs::read_to_string(self.data().join("postmaster.pid")) else { return };
        let first: i32 = file.lines().next().unwrap().parse().unwrap();
        // The first before the others: it makes no new ones.
        let _ = kill_process(Pid::from_raw(first).unwrap(), signal);
        for child in children(first) {
            let _ = kill_process(Pid::from_raw(child).unwrap(), signal);
        }
    }
}

fn children(of: i32) -> Vec<i32> {
    let parent = |process: &Path| {
        let status = std::fs::read_to_string(process.join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:")).and_then(|parent| parent.trim().parse::<i32>().ok())
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| parent(&process.path()) == Some(of))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
        self.send(Signal::QUIT);
        // It looks for this file itself, and ends without it.
        while self.data().join("postmaster.pid").exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
