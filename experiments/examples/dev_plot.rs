use revenant_experiments::plot::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    for column in [Column::One, Column::Two] {
        match plot_dir(a[1].as_ref(), &PlotOptions { formats: vec![Format::Svg, Format::Png], column }) {
            Ok(p) => p.iter().for_each(|p| println!("{}", p.display())),
            Err(e) => println!("{e}"),
        }
    }
}
