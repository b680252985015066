//! A disk that can fail (`shim.c`): a server is started on it, it refuses what it is told to refuse, and what a power failure would have left at
//! any moment is put together from its journal.
//!
//! What the model assumes: a write, or a new length, is kept for certain once a sync of its file that began afterwards has ended well; a name,
//! once a sync of its folder has. Of the rest nothing is certain, in no order: a piece of 512 bytes is written whole or not at all, and what was
//! never written reads as zeros. Changes of one folder's names keep their order. What a sync that failed should have kept is lost. The data folder
//! itself is there.

pub mod load;
mod power;
mod refusing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use crate::chance::Chance;

/// What a disk writes at once.
const PIECE: usize = 512;
/// The fields of a record of the journal, before its path and its bytes.
const HEAD: usize = 32;

/// Kinds of calls that can be refused, as in `shim.c`.
pub const WRITE: u32 = 1;
pub const SYNC: u32 = 2;
pub const OPEN: u32 = 4;
pub const RENAME: u32 = 8;
pub const UNLINK: u32 = 16;
pub const TRUNCATE: u32 = 32;

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// What a client was told, and when it asked: kept in the journal, so that it is known what was answered before a moment.
const TOLD: u32 = 100;

/// The shim, compiled once for all drills of this process.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drills/disk/shim.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.so");
        // Another process may use it at this moment.
        let made = library.with_extension(std::process::id().to_string());
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        let output =
            command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&made).arg(source).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::rename(made, &library).unwrap();
        library
    })
}

/// The disk below one folder, while one server runs on it.
#[derive(Clone)]
pub struct Disk {
    root: PathBuf,
    journal: Arc<File>,
    journal_path: PathBuf,
    control: Arc<File>,
    control_path: PathBuf,
    /// What was there before.
    before: Arc<Image>,
}

impl Disk {
    /// Begins with what is in the folder, all of which is kept for certain. Its own files lie beside the folder, under this name.
    pub fn new(root: &Path, name: &str) -> Disk {
        let root = root.canonicalize().unwrap();
        let beside = |kind: &str| root.with_file_name(format!("{name}.{kind}"));
        let open = |path: &Path| OpenOptions::new().create(true).truncate(true).write(true).open(path).unwrap();
        let (journal_path, control_path) = (beside("journal"), beside("control"));
        open(&journal_path);
        let journal = OpenOptions::new().append(true).open(&journal_path).unwrap();
        open(&control_path).set_len(128).unwrap();
        let control = OpenOptions::new().read(true).write(true).open(&control_path).unwrap();
        let before = Arc::new(Image::of(&root));
        Disk { root, journal: Arc::new(journal), journal_path, control: Arc::new(control), control_path, before }
    }

    /// What a server has in its environment to run on it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", text(shim())),
            ("FREEHOLD_DISK_ROOT", text(&self.root)),
            ("FREEHOLD_DISK_JOURNAL", text(&self.journal_path)),
            ("FREEHOLD_DISK_CONTROL", text(&self.control_path)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Refuses these calls on paths with this in them, after so many that go well, so many times or, with -1, until it is told otherwise.
    pub fn refuse(&self, error: i32, calls: u32, part: &str, after: i32, times: i32) {
        self.allow();
        let mut name = [0; 108];
        name[..part.len()].copy_from_slice(part.as_bytes());
        self.control.write_all_at(&name, 20).unwrap();
        self.control.write_all_at(&[calls.to_ne_bytes(), after.to_ne_bytes(), times.to_ne_bytes(), [0; 4]].concat(), 4).unwrap();
        self.control.write_all_at(&error.to_ne_bytes(), 0).unwrap();
    }

    /// Holds these calls on paths with this in them, until they are allowed.
    pub fn hold(&self, calls: u32, part: &str) {
        self.refuse(-1, calls, part, 0, 0);
    }

    /// Refuses nothing from now on, and lets go what is held.
    pub fn allow(&self) {
        self.control.write_all_at(&0_i32.to_ne_bytes(), 0).unwrap();
    }

    /// Calls that were refused since it was last told to.
    pub fn refused(&self) -> u32 {
        let mut hits = [0; 4];
        self.control.read_exact_at(&mut hits, 16).unwrap();
        u32::from_ne_bytes(hits)
    }

    /// Notes what a client was told.
    pub fn tell(&self, what: &str) {
        let mut record = [TOLD.to_ne_bytes(), [0; 4]].concat();
        record.extend([0_u64, 0, what.len() as u64].map(u64::to_ne_bytes).concat());
        record.extend(what.as_bytes());
        assert_eq!((&*self.journal).write(&record).unwrap(), record.len());
    }

    /// All that was done, once the server is gone.
    pub fn history(&self) -> History {
        History { root: self.root.clone(), records: read(&fs::read(&self.journal_path).unwrap()), before: self.before.clone() }
    }
}

/// A record of the journal.
#[derive(Debug)]
struct Record {
    kind: u32,
    inode: u64,
    place: u64,
    path: PathBuf,
    bytes: Vec<u8>,
}

fn read(mut journal: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while journal.len() >= HEAD {
        let word = |at: usize| u32::from_ne_bytes(journal[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(journal[at..at + 8].try_into().unwrap());
        let (kind, path, inode, place, length) = (word(0), word(4) as usize, long(8), long(16), usize::try_from(long(24)).unwrap());
        // The process was killed while it wrote this one.
        let Some(rest) = journal.get(HEAD + path + length..) else { break };
        let text = |bytes: &[u8]| PathBuf::from(String::from_utf8(bytes.to_vec()).unwrap());
        let record = Record {
            kind,
            inode,
            place,
            path: text(&journal[HEAD..HEAD + path]),
            bytes: journal[HEAD + path..HEAD + path + length].to_vec(),
        };
        records.push(record);
        journal = rest;
    }
    records
}

/// Files by their paths below the folder, and the folders in it.
#[derive(Debug, Clone, Default)]
struct Image {
    folders: BTreeSet<PathBuf>,
    /// With the inodes that they have.
    files: BTreeMap<PathBuf, (u64, Vec<u8>)>,
}

impl Image {
    fn of(root: &Path) -> Image {
        let (mut image, mut left) = (Image::default(), vec![root.to_owned()]);
        while let Some(folder) = left.pop() {
            for found in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let path = found.path();
                if found.file_type().unwrap().is_dir() {
                    image.folders.insert(path.clone());
                    left.push(path);
                } else {
                    image.files.insert(path.clone(), (found.metadata().unwrap().ino(), fs::read(&path).unwrap()));
                }
            }
        }
        image
    }
}

/// Copies a folder for its owner alone.
pub fn copy(from: &Path, to: &Path) {
    let (image, moved) = (Image::of(from), |path: &Path| to.join(path.strip_prefix(from).unwrap()));
    for folder in [from.to_owned()].iter().chain(&image.folders) {
        DirBuilder::new().mode(0o700).create(moved(folder)).unwrap();
    }
    for (path, (_, bytes)) in &image.files {
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(moved(path)).unwrap().write_all(bytes).unwrap();
    }
}

/// What becomes of what no sync has kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Lost,
    Kept,
    /// Each piece by chance.
    ByChance,
}

/// What was done on a disk, in its order.
pub struct History {
    root: PathBuf,
    records: Vec<Record>,
    before: Arc<Image>,
}

/// What is not kept for certain.
enum Change {
    Write { place: usize, bytes: Vec<u8> },
    Length(usize),
}

/// A change of names in a folder.
enum Naming {
    Made(PathBuf, usize),
    Moved(PathBuf, PathBuf),
    Gone(PathBuf),
    Folder(PathBuf),
}

#[derive(Default)]
struct Content {
    kept: Vec<u8>,
    /// With the numbers of their records.
    rest: Vec<(usize, Change)>,
}

impl History {
    /// Moments at which the power can fail: after so many records.
    pub fn moments(&self) -> usize {
        self.records.len()
    }

    /// Syncs that ended well.
    pub fn syncs(&self) -> usize {
        self.records.iter().filter(|record| record.kind == 5).count()
    }

    /// What clients were told before a moment.
    pub fn told(&self, moment: usize) -> impl Iterator<Item = &str> {
        self.records[..moment].iter().filter(|record| record.kind == TOLD).map(|record| std::str::from_utf8(&record.bytes).unwrap())
    }

    /// Writes into a new folder what a power failure at this moment leaves.
    pub fn replay(&self, moment: usize, rest: Rest, chance: &mut Chance, to: &Path) {
        let mut contents: Vec<Content> = Vec::new();
        let (mut inodes, mut names) = (HashMap::new(), BTreeMap::new());
        for (path, (inode, bytes)) in &self.before.files {
            inodes.insert(*inode, contents.len());
            names.insert(path.clone(), contents.len());
            contents.push(Content { kept: bytes.clone(), rest: Vec::new() });
        }
        let mut folders = self.before.folders.clone();
        let (mut namings, mut begun): (Vec<(usize, Naming)>, HashMap<u64, usize>) = (Vec::new(), HashMap::new());
        let mut known: BTreeSet<&Path> = self.before.folders.iter().map(PathBuf::as_path).chain([self.root.as_path()]).collect();
        for (number, record) in self.records[..moment].iter().enumerate() {
            let path = record.path.clone();
            match record.kind {
                1 => {
                    inodes.insert(record.inode, contents.len());
                    namings.push((number, Naming::Made(path, contents.len())));
                    contents.push(Content::default());
                }
                2 => {
                    let write = Change::Write { place: usize::try_from(record.place).unwrap(), bytes: record.bytes.clone() };
                    // What lies in memory only is not followed.
                    if let Some(content) = inodes.get(&record.inode) {
                        contents[*content].rest.push((number, write));
                    }
                }
                3 => {
                    if let Some(content) = inodes.get(&record.inode) {
                        contents[*content].rest.push((number, Change::Length(usize::try_from(record.place).unwrap())));
                    }
                }
                4 => drop(begun.insert(record.place, number)),
                5 | 6 => {
                    let begun = begun[&record.place];
                    if known.contains(record.path.as_path()) {
                        if record.kind == 5 {
                            let is_synced = |(at, naming): &(usize, Naming)| *at < begun && naming.folder() == record.path;
                            let (synced, later): (Vec<_>, Vec<_>) = namings.into_iter().partition(is_synced);
                            namings = later;
                            synced.into_iter().for_each(|(_, naming)| naming.keep(&mut names, &mut folders));
                        }
                    } else if let Some(content) = inodes.get(&record.inode) {
                        let content = &mut contents[*content];
                        let later = content.rest.split_off(content.rest.partition_point(|(number, _)| *number < begun));
                        let synced = std::mem::replace(&mut content.rest, later);
                        if record.kind == 5 {
                            synced.into_iter().for_each(|(_, change)| change.keep(&mut content.kept, |_| true));
                        }
                    }
                }
                7 => namings.push((number, Naming::Moved(path, PathBuf::from(String::from_utf8(record.bytes.clone()).unwrap())))),
                8 => namings.push((number, Naming::Gone(path))),
                9 => {
                    known.insert(&record.path);
                    namings.push((number, Naming::Folder(path)));
                }
                TOLD => {}
                other => panic!("a record of the kind {other}"),
            }
        }
        let first = match rest {
            Rest::Lost => 0,
            Rest::Kept => namings.len(),
            Rest::ByChance => usize::try_from(chance.number(0..=namings.len() as u64)).unwrap(),
        };
        namings.into_iter().take(first).for_each(|(_, naming)| naming.keep(&mut names, &mut folders));
        for content in &mut contents {
            for (_, change) in content.rest.drain(..) {
                change.keep(&mut content.kept, |_| match rest {
                    Rest::Lost => false,
                    Rest::Kept => true,
                    Rest::ByChance => chance.number(0..=1) == 0,
                });
            }
        }
        self.write(to, &folders, &names, &contents);
    }

    fn write(&self, to: &Path, folders: &BTreeSet<PathBuf>, names: &BTreeMap<PathBuf, usize>, contents: &[Content]) {
        let moved = |path: &Path| to.join(path.strip_prefix(&self.root).unwrap());
        let is_there =
            |path: &Path| path.ancestors().skip(1).take_while(|folder| *folder != self.root).all(|folder| folders.contains(folder));
        DirBuilder::new().recursive(true).mode(0o700).create(to).unwrap();
        for folder in folders.iter().filter(|folder| is_there(folder)) {
            DirBuilder::new().mode(0o700).create(moved(folder)).unwrap();
        }
        // The index of the log lies in memory.
        for (path, content) in names.iter().filter(|(path, _)| is_there(path) && !path.to_string_lossy().ends_with("-shm")) {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(moved(path)).unwrap();
            file.write_all(&contents[*content].kept).unwrap();
        }
    }
}

impl Change {
    /// Does to a content what was done, of a write those pieces that are to be kept.
    fn keep(self, content: &mut Vec<u8>, mut is_kept: impl FnMut(usize) -> bool) {
        match self {
            Change::Length(length) => {
                if is_kept(length) {
                    content.resize(length, 0);
                }
            }
            Change::Write { place, bytes } => {
                let (mut from, end) = (place, place + bytes.len());
                while from < end {
                    let to = end.min((from / PIECE + 1) * PIECE);
                    if is_kept(from) {
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        content[from..to].copy_from_slice(&bytes[from - place..to - place]);
                    }
                    from = to;
                }
            }
        }
    }
}

impl Naming {
    /// The folder that has to be synced for it: of a move, which stays in one folder, that one.
    fn folder(&self) -> &Path {
        let (Naming::Made(path, _) | Naming::Moved(_, path) | Naming::Gone(path) | Naming::Folder(path)) = self;
        path.parent().unwrap()
    }

    fn keep(self, names: &mut BTreeMap<PathBuf, usize>, folders: &mut BTreeSet<PathBuf>) {
        match self {
            Naming::Made(path, content) => drop(names.insert(path, content)),
            Naming::Moved(from, to) => {
                if let Some(content) = names.remove(&from) {
                    names.insert(to, content);
                }
            }
            Naming::Gone(path) => drop(names.remove(&path)),
            Naming::Folder(path) => drop(folders.insert(path)),
        }
    }
}
