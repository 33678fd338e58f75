//! Writes synthetic save files of every kind into a directory, for other programs to judge.
//!
//! ```text
//! cargo run -p revenant-xen-format --features testing --example synthetic -- DIR
//! ```
//! gives `DIR/{pv,hvm}-v{2,3}-{plain,live,checkpointed}.{xl,libxl,libxc}`.

use std::path::PathBuf;
use std::{env, fs, io};

use revenant_xen_format::testing::{Recipe, Shape};
use revenant_xen_format::{Container, GuestType};

fn main() -> io::Result<()> {
    let usage = || io::Error::new(io::ErrorKind::InvalidInput, "usage: synthetic DIR");
    let dir = PathBuf::from(env::args_os().nth(1).ok_or_else(usage)?);
    let mut seed = 0;
    for (guest, guest_name) in [(GuestType::Pv, "pv"), (GuestType::Hvm, "hvm")] {
        for version in 2..=3 {
            for (shape, shape_name) in [
                (Shape::Plain, "plain"),
                (Shape::Live, "live"),
                (Shape::Checkpointed(3), "checkpointed"),
            ] {
                for (container, extension) in [
                    (Container::XlSaveFile, "xl"),
                    (Container::LibvirtSaveFile, "libvirt"),
                    (Container::LibxlStream, "libxl"),
                    (Container::LibxcStream, "libxc"),
                ] {
                    // Even seeds only: other readers need not know the optional record of the odd ones.
                    seed += 2;
                    let recipe = Recipe {
                        guest,
                        version,
                        container,
                        shape,
                        frames: 3000,
                        per_record: 1024,
                        seed,
                    };
                    let name = format!("{guest_name}-v{version}-{shape_name}.{extension}");
                    fs::write(dir.join(name), recipe.build().bytes)?;
                }
            }
        }
    }
    Ok(())
}
