//! What a source file of the plane may use, read from the paths in it: no layer above its own, and no circle but among the files of one module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The layers, the lowest first: a file uses its own and those before it.
const LAYERS: [&str; 5] = ["kernel", "deletions", "nouns", "work", "doctor"];
/// Folders that only sort modules, which the crate's root calls by their own names.
const GROUPS: [&str; 11] = [
    "kernel",
    "kernel/rights",
    "kernel/secrets",
    "kernel/text",
    "kernel/trail",
    "nouns",
    "nouns/keys",
    "nouns/organization",
    "nouns/people",
    "work",
    "",
];
/// What the crate's root calls by a name that is no module's, with the module.
const NAMES: [(&str, &str); 8] = [
    ("Cx", "cx"),
    ("Error", "error"),
    ("FieldError", "error"),
    ("FieldErrors", "error"),
    ("MIGRATIONS", "plane"),
    ("OauthRefusal", "error"),
    ("Plane", "plane"),
    ("Result", "error"),
];

/// Every source file by its path without `.rs` or `/mod.rs`, with its code.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().with_extension("").display().to_string();
            let name = name.strip_suffix("/mod").map(str::to_owned).unwrap_or(name);
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().lines().filter(|line| !line.trim_start().starts_with("//"));
            found.insert(name, code.collect::<Vec<_>>().join(" "));
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    found.retain(|name, _| name != "lib" && !GROUPS.contains(&name.as_str()));
    found
}

/// What a code names behind `crate`, `super` or another word: of each path the first two parts.
fn paths(code: &str, word: &str) -> BTreeSet<[String; 2]> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let leading = |text: &str| text.chars().take_while(|character| is_name(*character)).collect::<String>();
    let mut found = BTreeSet::new();
    for (place, _) in code.match_indices(&format!("{word}::")) {
        if code[..place].ends_with(is_name) || code[..place].ends_with("::") {
            continue;
        }
        let rest = &code[place + word.len() + 2..];
        let mut depth = 0;
        let end = rest.find(|character| {
            depth += i32::from(character == '{') - i32::from(character == '}');
            depth == 0
        });
        let list = rest.strip_prefix('{').zip(end.filter(|end| *end > 0)).map(|(list, end)| &list[..end - 1]);
        for name in list.map_or(vec![rest], |list| list.split(", ").collect()) {
            let first = leading(name.trim());
            let second = name.trim()[first.len()..].strip_prefix("::").map(leading).unwrap_or_default();
            found.insert([first, second]);
        }
    }
    found
}

/// The files that each file uses.
fn uses(sources: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let find = |name: String| sources.get_key_value(&name).map(|(name, _)| name.as_str());
    let module = |name: &str| GROUPS.iter().find_map(|group| find(format!("{group}/{name}").trim_start_matches('/').to_owned()));
    let known = |name: &str| NAMES.iter().find(|(known, _)| *known == name).map_or(name, |(_, module)| module).to_owned();
    let of = |file: &str, code: &str| {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let of_crate = paths(code, "crate").into_iter().filter_map(|[first, second]| {
            let module = module(&known(&first))?;
            Some(find(format!("{module}/{second}")).unwrap_or(module))
        });
        let siblings =
            paths(code, "super").into_iter().filter_map(|[first, _]| find(format!("{folder}/{first}")).or_else(|| find(folder.to_owned())));
        let children = sources.keys().filter_map(|child| {
            let name = child.strip_prefix(file)?.strip_prefix('/').filter(|name| !name.contains('/'))?;
            (!paths(code, name).is_empty()).then_some(child.as_str())
        });
        of_crate.chain(siblings).chain(children).filter(|used| *used != file).collect::<BTreeSet<&str>>()
    };
    let sources: Vec<(&str, &str)> = sources.iter().map(|(file, code)| (file.as_str(), code.as_str())).collect();
    sources.into_iter().map(|(file, code)| (file, of(file, code))).collect()
}

#[test]
fn no_file_uses_a_layer_above_its_own() {
    let sources = sources();
    let uses = uses(&sources);
    assert!(uses.len() > 100 && uses.values().map(BTreeSet::len).sum::<usize>() > 500, "too little was read");
    let layer =
        |file: &str| LAYERS.iter().position(|layer| file.split('/').next() == Some(layer)).unwrap_or_else(|| panic!("{file} has no layer"));
    let above = uses
        .iter()
        .flat_map(|(file, used)| used.iter().filter(|used| layer(used) > layer(file)).map(move |used| format!("{file} uses {used}")));
    let above: Vec<String> = above.collect();
    assert!(above.is_empty(), "{above:#?}");
}

#[test]
fn no_file_is_in_a_circle_but_with_files_of_its_module() {
    let sources = sources();
    let uses = uses(&sources);
    // What a file reaches, itself if it is in a circle.
    let reaches = |file| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            next.extend(uses[file].iter().filter(|used| seen.insert(**used)).copied());
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = uses.keys().map(|file| (*file, reaches(*file))).collect();
    let module = |file: &str| {
        let group = GROUPS
            .iter()
            .filter(|group| file.starts_with(&format!("{group}/")) || group.is_empty())
            .max_by_key(|group| group.len())
            .unwrap();
        file[group.len()..].trim_start_matches('/').split('/').next().unwrap().to_owned()
    };
    let circles = reached.iter().flat_map(|(file, reached_by)| {
        let back = reached_by.iter().filter(|other| reached[**other].contains(file) && module(other) != module(file));
        back.map(move |other| format!("{file} and {other}"))
    });
    let circles: Vec<String> = circles.collect();
    assert!(circles.is_empty(), "{} of them: {circles:#?}", circles.len());
}
