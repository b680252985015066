//! A throw-away PostgreSQL: found or installed, started in a temporary folder, stopped and removed when it goes out of scope.
//!
//! For tests and benchmarks only. It trusts everyone who reaches it, so it listens on the loopback address and on a socket in a folder that
//! only its owner may enter. It writes as durably as a real one, because durability is part of what is tested.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::machine::{self, holds, in_path, run};

/// Where the tests look for a PostgreSQL to create their own databases on.
pub(crate) const TEST_VARIABLE: &str = "FREEHOLD_TEST_POSTGRES";
/// The programs a cluster needs, all from one release.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];
/// Where Debian keeps them, by release.
const DEBIAN_RELEASES: &str = "/usr/lib/postgresql";
/// Between the choice of a free port and its use another program may take it.
const ATTEMPTS: usize = 3;
const LOG_LINES: usize = 40;

/// Starts a cluster, says where it is and waits for the end of the input. A signal drops this future and so stops the cluster, too.
pub(crate) async fn serve() -> Result {
    let cluster = Cluster::start()?;
    let url = cluster.url();
    #[expect(clippy::print_stdout, reason = "the address is what this command is run for")]
    {
        println!("{url}\nexport {TEST_VARIABLE}={url}");
    }
    eprintln!("PostgreSQL is running; Ctrl-C or the end of the input stops it");
    let (sender, ended) = tokio::sync::oneshot::channel();
    // A thread of its own, because a blocked read of tokio's would keep the program from ending on a signal.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = sender.send(());
    });
    let _ = ended.await;
    Ok(())
}

/// A running PostgreSQL of its own.
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    /// The user and group it runs as when this program is root, which PostgreSQL refuses to be.
    owner: Option<(u32, u32)>,
    port: u16,
}

impl Cluster {
    /// Starts a new, empty one; installs PostgreSQL first where that is missing and possible.
    pub(crate) fn start() -> Result<Cluster> {
        let folder = temporary_folder()?;
        let mut cluster = Cluster { folder, programs: PathBuf::new(), owner: None, port: 0 };
        let root = cluster.folder.metadata().map_err(|error| format!("cannot look at {}: {error}", cluster.folder.display()))?.uid() == 0;
        cluster.programs = find_or_install()?;
        if root {
            cluster.owner = Some(hand_over(&cluster.folder)?);
        }
        cluster.create()?;
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match cluster.launch() {
                Ok(()) => return Ok(cluster),
                Err(words) => failure = words,
            }
        }
        Err(format!("{failure}\nthe last lines of its log:\n{}", cluster.log_tail()))
    }

    /// The address of its superuser and first database. Tests create their own databases from there.
    pub(crate) fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The address of one of its databases.
    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Where a program of its release is.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The end of the server's log, for the report of a failure.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_else(|error| format!("(no log: {error})"));
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn create(&self) -> Result {
        let mut initdb = self.command("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--pgdata"]);
        run(initdb.arg(self.data())).map_err(|words| {
            format!("{words}\n(its user must be able to enter {}: if it is not, set TMPDIR to another place)", self.folder.display())
        })?;
        self.certify()
    }

    /// An authority of its own, a certificate of the server for `localhost` and 127.0.0.1, and one of the client `postgres`.
    fn certify(&self) -> Result {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
        let words = |error: rcgen::Error| format!("cannot make certificates: {error}");
        let key = KeyPair::generate().map_err(words)?;
        let mut authority = CertificateParams::new(Vec::new()).map_err(words)?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Tests of Freehold");
        let certificate = authority.self_signed(&key).map_err(words)?;
        self.keep("ca.pem", &certificate.pem())?;
        let issuer = Issuer::new(authority, key);
        for (name, subject, alternatives) in [("server", "localhost", &["localhost", "127.0.0.1"][..]), ("client", "postgres", &[])] {
            let key = KeyPair::generate().map_err(words)?;
            let mut params =
                CertificateParams::new(alternatives.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).map_err(words)?;
            params.distinguished_name.push(DnType::CommonName, subject);
            self.keep(&format!("{name}.pem"), &params.signed_by(&key, &issuer).map_err(words)?.pem())?;
            self.keep(&format!("{name}.key"), &key.serialize_pem())?;
        }
        Ok(())
    }

    /// Puts a file into the data folder, for its owner's eyes only.
    fn keep(&self, name: &str, content: &str) -> Result {
        let file = self.data().join(name);
        let kept = fs::write(&file, content).and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)));
        let kept = kept.and_then(|()| self.owner.map_or(Ok(()), |(user, group)| chown(&file, Some(user), Some(group))));
        kept.map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    fn launch(&mut self) -> Result {
        self.port = free_port()?;
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n\
             max_connections = 300\nshared_buffers = 256MB\nfsync = on\n\
             ssl = on\nssl_ca_file = 'ca.pem'\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n",
            self.port,
            self.folder.display()
        );
        let file = self.data().join("postgresql.auto.conf");
        fs::write(&file, settings).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        let mut start = self.command("pg_ctl");
        start.args(["start", "--silent", "--wait", "--timeout=60", "--log"]).arg(self.log()).arg("--pgdata").arg(self.data());
        run(&mut start)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // The folder this program was called from may be closed to the cluster's user.
        command.current_dir(&self.folder).stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            let mut stop = self.command("pg_ctl");
            if let Err(words) = run(stop.args(["stop", "--silent", "--mode=immediate", "--pgdata"]).arg(self.data())) {
                eprintln!("xtask: PostgreSQL did not stop, end it by hand: {words}");
                return;
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("xtask: cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// A new folder that only its owner may enter. Its name is short, because a socket's whole path must fit into 107 bytes.
fn temporary_folder() -> Result<PathBuf> {
    let place = std::env::temp_dir();
    for number in 0..1_000 {
        let folder = place.join(format!("freehold-{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => {
                return fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                    .map(|()| folder)
                    .map_err(|error| format!("cannot close a folder in {} to others: {error}", place.display()));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("cannot create a folder in {}, set TMPDIR to another place: {error}", place.display())),
        }
    }
    Err(format!("{} is full of freehold-* folders: remove them", place.display()))
}

fn find_or_install() -> Result<PathBuf> {
    if let Some(programs) = find() {
        return Ok(programs);
    }
    let remedy = "PostgreSQL is not installed: install the package `postgresql` (Debian, Ubuntu, Homebrew) or `postgresql-server` (Fedora)";
    machine::install(&["postgresql"], remedy)?;
    find().ok_or_else(|| format!("apt-get has installed no initdb. {remedy}"))
}

/// The folder with the programs of the newest release.
fn find() -> Option<PathBuf> {
    let releases = fs::read_dir(DEBIAN_RELEASES).into_iter().flatten().flatten();
    let newest = releases
        .filter_map(|release| Some((release.file_name().to_str()?.parse::<u32>().ok()?, release.path().join("bin"))))
        .filter(|(_, programs)| holds(programs, &PROGRAMS))
        .max();
    newest.map(|(_, programs)| programs).or_else(|| in_path(&PROGRAMS))
}

/// Gives the folder to the user `postgres`, which the package has created, and returns its user and group.
fn hand_over(folder: &Path) -> Result<(u32, u32)> {
    let owner = (identity("-u")?, identity("-g")?);
    chown(folder, Some(owner.0), Some(owner.1)).map_err(|error| format!("cannot give {} to postgres: {error}", folder.display()))?;
    Ok(owner)
}

fn identity(kind: &str) -> Result<u32> {
    let told = Command::new("id").args([kind, "postgres"]).output().map_err(|error| format!("cannot run `id`: {error}"))?;
    let number = String::from_utf8_lossy(&told.stdout).trim().parse();
    number.map_err(|_| "PostgreSQL does not run as root and there is no user `postgres`: create it, or run this as another user".into())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}
