use std::fs;

use super::super::tests::world::World;
use super::{REPORT, report_dir};

const MANIFEST: &str = r#"{
  "experiment": "</title><script>alert(1)</script>",
  "question": "Is a < b & \"c\"?",
  "status": "interrupted",
  "identity": {"seed": 7, "revision": "abc"},
  "command": ["revenant", "run", "a'<b>.toml"],
  "warnings": ["cell <0>"]
}"#;

fn page() -> String {
    let folder = World {
        programs: vec!["<img src=x onerror=alert(2)>"],
        ..World::default()
    }
    .write();
    fs::write(folder.path().join("manifest.json"), MANIFEST).unwrap();
    fs::write(folder.path().join("spec.toml"), "name = \"</code></pre><b>\"\n").unwrap();
    let path = report_dir(folder.path()).unwrap();
    assert!(path.ends_with(REPORT));
    fs::read_to_string(path).unwrap()
}

/// Names of the elements in order; panics where they are not closed in the order in which they were opened.
fn elements(html: &str) -> Vec<&str> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for part in html.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text}");
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        all.push(name);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    all
}

#[test]
fn the_page_is_well_formed_and_nothing_of_the_files_is_markup() {
    let html = page();
    let elements = elements(&html);
    for unwanted in ["script", "img", "b", "link", "iframe", "object", "image"] {
        assert!(!elements.contains(&unwanted), "{unwanted}");
    }
    for wanted in ["table", "svg", "figcaption", "nav", "main", "details"] {
        assert!(elements.contains(&wanted), "{wanted}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("cell &lt;0&gt;"));
    assert!(html.contains("the run is not complete: interrupted"));
    assert!(html.contains("revenant run a&#39;&lt;b&gt;.toml"));
}

#[test]
fn the_page_asks_for_nothing() {
    let html = page();
    let namespace = "http://www.w3.org/2000/svg";
    let rest = html.replace(namespace, "");
    for unwanted in ["http:", "https:", "//", "url(", "@import", " src=\""] {
        assert!(!rest.contains(unwanted), "{unwanted}");
    }
    let links = html.split(" href=\"").skip(1);
    assert!(links.clone().count() > 3 && links.clone().all(|link| link.starts_with('#')));
}

#[test]
fn tables_have_units_and_say_once_what_is_the_same() {
    let html = page();
    for wanted in [
        "Waste (%)",
        "MTBF M",
        ">1 h<",
        ">2 h<",
        "The same in all rows:",
        "Work W 5 h",
    ] {
        assert!(html.contains(wanted), "{wanted}");
    }
    assert_eq!(page(), html, "the same files give the same page");
}
