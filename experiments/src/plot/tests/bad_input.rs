//! Damaged tables and logs: one clear error with its place, never a panic.

use std::fs;

use proptest::prelude::*;

use super::world::World;
use super::{Column, Format, options, plot_dir};

/// What drawing says of a folder in which a file was changed, without the folder's name.
fn complaint(name: &str, change: impl FnOnce(&str) -> String) -> String {
    let folder = World::default().write();
    let path = folder.path().join(name);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "the test changes something");
    fs::write(&path, changed).unwrap();
    let error = plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap_err();
    assert!(!folder.path().join("figures").exists(), "nothing is drawn");
    error
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "")
}

/// Replaces a field of a line, both counted from 1.
fn with_field(text: &str, line: usize, field: usize, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut fields: Vec<&str> = lines[line - 1].split(',').collect();
    fields[field - 1] = value;
    lines[line - 1] = fields.join(",");
    lines.join("\n") + "\n"
}

#[test]
fn errors_name_file_line_and_column() {
    let number = "expected a number of at most 1e18 in size, or nothing";
    let positive = "expected a duration of at least 1e-9 seconds";
    for (field, value, column, expected) in [
        (3, "real", "level", "expected `model`, `sim` or `cluster`"),
        (4, "", "policy", "expected a name"),
        (10, "0.0", "mtbf_s", positive),
        (10, "", "mtbf_s", positive),
        (11, "-60", "interval_s", positive),
        (16, "-1", "n", "expected a whole number that is not negative"),
        (24, "NaN", "waste_mean", number),
        (24, "lots", "waste_mean", number),
        (24, "inf", "waste_mean", number),
        (24, "1e19", "waste_mean", number),
        (
            26,
            "0.9999",
            "waste_ci95_lo",
            "expected a low end that is not above the mean",
        ),
    ] {
        let said = complaint("summary.csv", |text| with_field(text, 5, field, value));
        let wanted = format!("summary.csv, line 5, column `{column}`: found {value:?}, {expected}");
        assert_eq!(said, wanted);
    }
    let said = complaint("theory.csv", |text| with_field(text, 9, 11, ""));
    assert_eq!(
        said,
        "theory.csv, line 9, column `waste`: found \"\", expected a number"
    );
}

#[test]
fn errors_name_what_is_missing() {
    let cases = [
        (
            complaint("summary.csv", |text| text.replacen("waste_mean", "wasted", 1)),
            "summary.csv, line 1: no column `waste_mean` in the header",
        ),
        (
            complaint("summary.csv", |text| text.replacen("waste_sd", "waste_mean", 1)),
            "summary.csv, line 1: column `waste_mean` is there twice",
        ),
        (
            complaint("summary.csv", |text| text.replacen(",sim,", ",", 1)),
            "summary.csv, line 3: 40 fields, expected 41",
        ),
        (
            complaint("summary.csv", |text| {
                text.lines().take(1).collect::<String>() + "\n"
            }),
            "summary.csv has no row to draw",
        ),
        (
            complaint("recovery.hlog", |text| {
                text.replacen("Tag=0.sim", "Tag=99.sim", 1)
            }),
            "recovery.hlog, line 4: the tag names a cell that is not in summary.csv",
        ),
        (
            complaint("downtime.hlog", |text| {
                text.replacen("Tag=0.model", "Tag=zero", 1)
            }),
            "downtime.hlog, line 3: expected a tag `point.level`, as in `Tag=7.sim`",
        ),
        (
            complaint("downtime.hlog", |text| text.replacen("HISTF", "HISTG", 1)),
            "downtime.hlog, line 3: the histogram is not a compressed V2 histogram of HdrHistogram",
        ),
        (
            complaint("downtime.hlog", |text| text.to_owned() + "0,1,2"),
            "downtime.hlog, line 57: expected an interval of an HdrHistogram log, version 1.3",
        ),
    ];
    for (said, wanted) in cases {
        assert_eq!(said, wanted);
    }
    let nothing = tempfile::tempdir().unwrap();
    let error = plot_dir(nothing.path(), &options(&[Format::Svg], Column::One)).unwrap_err();
    assert!(error.to_string().ends_with("summary.csv"), "{error}");
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-3i32..4, 0.0f64..10.0).prop_map(|(power, digits)| (digits * libm::pow(10.0, f64::from(power) * 4.0)).to_string()),
        1 => Just(String::new()),
        1 => Just("0".to_owned()),
        1 => Just("1e18".to_owned()),
        1 => Just("-1e18".to_owned()),
        1 => any::<f64>().prop_map(|number| number.to_string()),
        1 => "[a-z<&\"]{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Fields are exchanged for anything: figures or an error, never a panic.
    #[test]
    fn no_table_makes_it_panic(
        changes in prop::collection::vec((2usize..40, 1usize..33, field()), 1..30),
        curves in prop::collection::vec((2usize..300, 1usize..10, field()), 0..8),
    ) {
        let world = World { logs: false, ..World::default() };
        let files = world.files();
        let alter = |text: String, changes: &[(usize, usize, String)]| {
            changes.iter().fold(text, |text, (line, at, value)| with_field(&text, *line, *at, value))
        };
        let folder = tempfile::tempdir().unwrap();
        // Levels and counts stay, so that most tables get past the reader.
        let numbers: Vec<_> = changes.into_iter().filter(|(_, at, _)| ![1, 2, 3, 4, 12].contains(at)).collect();
        fs::write(folder.path().join("summary.csv"), alter(files.summary, &numbers)).unwrap();
        fs::write(folder.path().join("theory.csv"), alter(files.theory, &curves)).unwrap();
        for column in [Column::One, Column::Two] {
            let _ = plot_dir(folder.path(), &options(&[Format::Svg], column));
        }
    }

    /// Bytes of a log are exchanged.
    #[test]
    fn no_log_makes_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let folder = World { mtbfs_s: vec![3600.0], ..World::default() }.write();
        let path = folder.path().join("recovery.hlog");
        let mut bytes = fs::read(&path).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        fs::write(&path, bytes).unwrap();
        let _ = plot_dir(folder.path(), &options(&[Format::Svg], Column::One));
    }

    /// Whole small tables of plausible and implausible numbers are drawn.
    #[test]
    fn any_magnitude_is_drawn(low in -8i32..17, span in 0i32..10, mtbf in -8i32..17, mean in -18i32..17) {
        let power = |power: i32| libm::pow(10.0, f64::from(power.min(17)));
        let mut summary = World { intervals_s: vec![60.0, 120.0], policies: vec![], ..World::default() }.files().summary;
        for line in 2..=13 {
            let interval = power(low + span * i32::from(line % 4 > 1));
            summary = with_field(&summary, line, 11, &interval.to_string());
            summary = with_field(&summary, line, 10, &power(mtbf).to_string());
            for estimate in [24, 26, 27, 31, 32, 33] {
                summary = with_field(&summary, line, estimate, &power(mean).to_string());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("summary.csv"), summary).unwrap();
        let drawn = plot_dir(folder.path(), &options(&[Format::Svg], Column::One));
        prop_assert!(drawn.is_ok(), "{drawn:?}");
    }
}
