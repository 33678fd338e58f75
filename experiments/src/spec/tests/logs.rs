//! Logs that specs name: where they are looked for, and how rows tell them apart.

use super::*;

#[test]
fn a_log_is_looked_for_beside_the_spec_and_has_its_own_mtbf() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.csv"), "gap_s\n100\n200\n300\n").unwrap();
    let law = "law = { log = { file = \"log.csv\", format = \"csv\", mode = \"bootstrap\" } }";
    let text = GOOD
        .replace("law = \"exponential\"", law)
        .replace("mtbf = [\"1h\", \"2h\"]\n", "");
    let spec = Spec::parse(&text, &folder.path().join("x.toml")).unwrap();
    let failures = &spec.settings[0].failures;
    assert_eq!(failures.mtbf, [Duration::from_secs(200)]);
    assert_eq!(failures.process.name(), "bootstrap log");
    let late = text.replace("mode = \"bootstrap\"", "mode = \"replay\", start = \"600s\"");
    let found = Spec::parse(&late, &folder.path().join("x.toml")).unwrap_err();
    assert!(
        found.to_string().contains("start must lie in the 600 s"),
        "{found}"
    );
}

/// Two logs, in order and drawn, one of them of the folder of data.
fn two_logs(first: &str, second: &str) -> String {
    GOOD.replace(
        "law = \"exponential\"",
        &format!("law = {{ log = {{ {first}, format = \"csv\", mode = \"replay\" }} }}"),
    ) + &format!(
        "\n[sweep]\n\"failures.law\" = [{{ log = {{ {first}, format = \"csv\", mode = \"replay\" }} }}, \
         {{ log = {{ {second}, format = \"csv\", mode = \"bootstrap\" }} }}]\n"
    )
}

#[test]
fn a_log_that_is_not_beside_the_spec_is_looked_for_in_the_folder_of_data() {
    let (beside, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = beside.path().join("x.toml");
    let load = |text: &str, data| {
        std::fs::write(&path, text).unwrap();
        Spec::load(&path, data).map_err(|error| error.to_string())
    };
    std::fs::write(beside.path().join("a.csv"), "gap_s\n100\n200\n").unwrap();
    std::fs::write(data.path().join("a.csv"), "gap_s\n7\n9\n").unwrap();
    std::fs::write(data.path().join("b.csv"), "gap_s,node\n300,x\n500,y\n").unwrap();
    let text = two_logs("file = \"a.csv\"", "file = \"b.csv\", node = \"y\"");
    let found = load(&text, None).unwrap_err();
    assert!(
        found.contains("b.csv: No such file") && found.contains("--data"),
        "{found}"
    );
    let spec = load(&text, Some(data.path())).unwrap();
    let processes: Vec<_> = spec
        .settings
        .iter()
        .map(|setting| setting.failures.process.name())
        .collect();
    assert_eq!(processes, ["replay a", "bootstrap b node y"]);
    let Process::Recorded(log) = &spec.settings[0].failures.process else {
        panic!("not recorded");
    };
    assert_eq!(*log.gaps_s, [100.0, 200.0], "what is beside the spec goes first");
}

#[test]
fn rows_tell_logs_apart() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("x.toml");
    std::fs::write(data.path().join("a.csv"), "gap_s,node\n100,x\n200,y\n300,y\n").unwrap();
    let parse = |first: &str, second: &str| {
        Spec::parse(&two_logs(first, second), &path).map_err(|error| error.to_string())
    };
    let (x, y) = (
        "file = \"a.csv\", node = \"x\", name = \"a\"",
        "file = \"a.csv\", node = \"y\", name = \"a\"",
    );
    assert!(parse(y, y).is_ok());
    let found = parse(x, y).unwrap_err();
    assert!(found.contains("another log is called \"a\" too"), "{found}");
}
