//! Links of the pages for people lead to a file that is there, and to a heading that it has.

use super::{in_the_repository, pages, read};

/// The targets of a page's links within the repository, without code.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.contains('`')).collect()
}

/// What the page of a repository's host makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|character| character.is_alphanumeric() || [' ', '-', '_'].contains(character));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(page: &str) -> Vec<String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = read(&page);
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { page.clone() } else { format!("{folder}/{file}") };
            let path = path.trim_start_matches('/');
            if !in_the_repository(path).exists() || !heading.is_empty() && !anchors(&read(path)).iter().any(|anchor| anchor == heading) {
                wrong.push(format!("{page}: {link}"));
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "{seen} links");
}

#[test]
fn the_guide_is_whole_in_the_readme() {
    let readme = read("README.md");
    let missing: Vec<String> = pages().into_iter().filter(|page| page != "README.md" && !readme.contains(&format!("]({page})"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
