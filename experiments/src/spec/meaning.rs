//! Whether two specs ask for the same trials, however they are written.

use toml::{Table, Value};

/// What no trial depends on: words, figures, and what a run's manifest has as it was run.
const NO_MATTER: [&str; 4] = ["question", "figures", "seed", "trials"];

/// The first key in which two spec files mean different trials, with its value in either (`nothing` where it is not there). `None`: they
/// mean the same. Of a text that is no TOML the key is empty.
pub(crate) fn difference(there: &str, here: &str) -> Option<(String, String, String)> {
    let parse = |text: &str| text.parse::<Table>().ok();
    let (Some(mut there), Some(mut here)) = (parse(there), parse(here)) else {
        let no_toml = || "no TOML".to_owned();
        return (there != here).then(|| (String::new(), no_toml(), no_toml()));
    };
    for key in NO_MATTER {
        there.remove(key);
        here.remove(key);
    }
    in_tables("", &there, &here)
}

fn in_tables(path: &str, there: &Table, here: &Table) -> Option<(String, String, String)> {
    let mut keys: Vec<&String> = there.keys().chain(here.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        in_values(&path, there.get(key), here.get(key))
    })
}

fn in_values(path: &str, there: Option<&Value>, here: Option<&Value>) -> Option<(String, String, String)> {
    match (there, here) {
        (Some(Value::Table(there)), Some(Value::Table(here))) => in_tables(path, there, here),
        (Some(Value::Array(there)), Some(Value::Array(here))) if there.len() == here.len() => {
            let mut items = there.iter().zip(here).enumerate();
            items.find_map(|(i, (there, here))| in_values(&format!("{path}[{i}]"), Some(there), Some(here)))
        }
        (there, here) if there == here => None,
        (there, here) => Some((path.to_owned(), shown(there), shown(here))),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_order_do_not_matter_and_everything_else_does() {
        let spec = "name = \"a\"\nquestion = \"why?\"\nlevels = [\"model\"]\n[job]\nwork = \"10h\"\n[[policy]]\nkind = \"young\"\n";
        let same = "# a comment\nlevels = [ 'model' ]\nseed = 4\nname = 'a'\nfigures = { formats = [] }\npolicy = [{ kind = \"young\" }]\n\
                    [job]\nwork = \"10h\" # long\n";
        assert_eq!(difference(spec, same), None);
        let told =
            |other: &str| difference(spec, other).map(|(key, there, here)| format!("{key}: {there}, {here}"));
        let with = |from: &str, to: &str| told(&spec.replace(from, to)).unwrap();
        assert_eq!(with("10h", "20h"), "job.work: \"10h\", \"20h\"");
        assert_eq!(with("work = \"10h\"", ""), "job.work: \"10h\", nothing");
        assert_eq!(with("young", "daly"), "policy[0].kind: \"young\", \"daly\"");
        assert_eq!(
            with("[\"model\"]", "[\"model\", \"sim\"]"),
            "levels: [\"model\"], [\"model\", \"sim\"]"
        );
        assert_eq!(told("name = "), Some(": no TOML, no TOML".to_owned()));
    }
}
