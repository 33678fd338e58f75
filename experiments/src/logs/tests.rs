use std::fs;

use super::*;

const LANL_HEADER: &str = "System,machine type,nodes,procstot,procsinnode,nodenum,nodenumz,node install,node prod,\
    node decom,fru type,mem,cputype,memtype,num intercon,purpose,Prob Started,Prob Fixed,Down Time,Facilities,Hardware,\
    Human Error,Network,Undetermined,Software,Same Event\n";

fn lanl(system: u32, node: u32, started: &str, minutes: u32, hardware: &str, software: &str) -> String {
    format!(
        "{system},cluster,4,8,2,{node},{node},1-Jan,1-Jan,current,part,1,1,1,0,compute,{started},,{minutes},,{hardware},,,,{software},No\n"
    )
}

fn log(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn values(text: &str, format: Format, filter: &Filter, what: What) -> Result<Vec<f64>, String> {
    let (folder, path) = log(text);
    let shown = format!("{}/", folder.path().display());
    read(&path, format, filter, what)
        .map(|sample| sample.values_s)
        .map_err(|error| error.to_string().replace(&shown, ""))
}

#[test]
fn records_of_los_alamos_are_read() {
    let text = LANL_HEADER.to_owned()
        + &lanl(2, 1, "2/28/2004 23:00", 30, "Disk", "")
        + &lanl(2, 0, "2/28/2004 22:00", 60, "", "OS")
        + &lanl(3, 0, "12/31/1999 0:30", 5, "", "")
        + &lanl(2, 1, "3/1/2004 1:00", 10, "CPU \u{e9}", "");
    let all = Filter::default();
    let system = Filter {
        system: Some("2".into()),
        ..Filter::default()
    };
    let down = values(&text, Format::Lanl, &all, What::Down).unwrap();
    assert_eq!(down, [1800.0, 3600.0, 300.0, 600.0]);
    let gaps = values(&text, Format::Lanl, &system, What::Gaps).unwrap();
    assert_eq!(gaps, [3600.0, 26.0 * 3600.0], "over the leap day");
    let up = values(&text, Format::Lanl, &system, What::Up).unwrap();
    assert_eq!(up, [25.5 * 3600.0]);
    let hardware = Filter {
        cause: Some("Hardware".into()),
        ..Filter::default()
    };
    assert_eq!(
        values(&text, Format::Lanl, &hardware, What::Down).unwrap(),
        [1800.0, 600.0]
    );
}

#[test]
fn intervals_of_the_archive_are_read() {
    let text = "event_id  component_id node_id  platform_id   node_name     event_type   event_start_time     event_stop_time  event_end_reason\n    \
        0\t       0\t     7\t    3\t  n\t   0\t   1000\t   1600\t   8000\n 1\t 0\t 7\t 3\t n\t 1\t 1600\t 5000\t 4022\n 2\t 0\t 8\t 3\t n\t 0\t 2000\t 2000\t\n";
    let all = Filter::default();
    assert_eq!(values(text, Format::Fta, &all, What::Down).unwrap(), [600.0, 0.0]);
    assert_eq!(values(text, Format::Fta, &all, What::Up).unwrap(), [3400.0]);
    assert_eq!(values(text, Format::Fta, &all, What::Gaps).unwrap(), [1000.0]);
    let node = Filter {
        node: Some("8".into()),
        ..Filter::default()
    };
    assert_eq!(values(text, Format::Fta, &node, What::Down).unwrap(), [0.0]);
}

#[test]
fn tables_are_read_by_their_header() {
    let all = Filter::default();
    let gaps = values("gap_s,cause\n5,a\n7,b\n1.5,a\n", Format::Csv, &all, What::Gaps).unwrap();
    assert_eq!(gaps, [5.0, 7.0, 1.5]);
    let of_a = Filter {
        cause: Some("a".into()),
        ..Filter::default()
    };
    let gaps = values("gap_s,cause\n5,a\n7,b\n1.5,a\n", Format::Csv, &of_a, What::Gaps).unwrap();
    assert_eq!(gaps, [5.0, 8.5]);
    let times = "node,time_s,down_s\na,100,10\nb,50,20\na,200,5\n";
    assert_eq!(
        values(times, Format::Csv, &all, What::Gaps).unwrap(),
        [50.0, 100.0]
    );
    assert_eq!(values(times, Format::Csv, &all, What::Up).unwrap(), [90.0]);
}

#[test]
fn outages_that_overlap_or_are_out_of_order_are_one() {
    // Node a: down 300-310, 0-100, 20-50 (within the one before), 100-120 (right after it).
    let text = "node,time_s,down_s\na,300,10\na,0,100\nb,150,1\na,20,30\na,100,20\nb,400,1\n";
    assert_eq!(
        values(text, Format::Csv, &Filter::default(), What::Up).unwrap(),
        [180.0, 249.0]
    );
}

#[test]
fn complaints_name_file_line_and_field() {
    let all = Filter::default();
    let complain = |text: &str, format| values(text, format, &all, What::Gaps).unwrap_err();
    assert_eq!(
        complain("gap_s\n5\nsoon\n", Format::Csv),
        "log:3: gap_s: found \"soon\", expected seconds, 0 at least"
    );
    assert_eq!(
        complain("gap_s\n-5\n", Format::Csv),
        "log:2: gap_s: found \"-5\", expected seconds, 0 at least"
    );
    assert_eq!(
        complain("x\n5\n", Format::Csv),
        "log:1: header: found \"x\", expected a column time_s or a column gap_s"
    );
    assert!(complain("", Format::Lanl).starts_with("log:1: line: found \"\", expected fields"));
    let text = LANL_HEADER.to_owned() + &lanl(2, 1, "28.2.2004", 30, "", "");
    assert!(
        complain(&text, Format::Lanl)
            .starts_with("log:2: Prob Started: found \"28.2.2004\", expected a time")
    );
    assert_eq!(
        complain("time_s\n5\n", Format::Csv),
        "log: 1 records, of which the filter leaves too few: two failures at least"
    );
}

proptest::proptest! {
    #[test]
    fn rubbish_is_refused_or_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), header in 0usize..4) {
        let headers = ["", LANL_HEADER, "gap_s\n", "event_id component_id node_id platform_id node_name event_type event_start_time event_stop_time event_end_reason\n"];
        let (_folder, path) = log("");
        fs::write(&path, [headers[header].as_bytes(), &bytes].concat()).unwrap();
        for format in [Format::Lanl, Format::Fta, Format::Csv] {
            for what in [What::Gaps, What::Up, What::Down] {
                let _ = read(&path, format, &Filter::default(), what);
            }
        }
    }
}
