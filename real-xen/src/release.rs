//! Releases of Xen with known defects.

/// Does this release lose registers of a guest that is resumed where it was suspended? Xen 4.21.0 and 4.21.1 do: r8 to r15 of
/// the first processor become zero at every checkpoint, and the guest crashes some time later (mended in 4.21.2 and
/// 4.22.0). What comes before a release is counted to the one before it: the mend may not be in it yet.
pub fn resume_is_broken(version: &str) -> bool {
    let mut parts = version.trim().splitn(3, '.');
    let (major, minor, rest) = (parts.next(), parts.next(), parts.next());
    let (Some("4"), Some(minor)) = (major, minor) else {
        return false;
    };
    // `4.21-unstable` has no third number.
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    if digits(minor) != "21" {
        return false;
    }
    let rest = rest.unwrap_or_default();
    let patch = digits(rest);
    let unreleased = ["-pre", "-rc"]
        .iter()
        .any(|tag| rest[patch.len()..].starts_with(tag));
    match patch.parse::<u32>() {
        Ok(2) => unreleased,
        Ok(patch) => patch < 2,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broken_releases_are_told_from_those_around_them() {
        let broken = [
            "4.21.0",
            "4.21.1",
            "4.21.0\n",
            "4.21.1-pre",
            "4.21.0 (Debian 4.21.0-1)",
            "4.21.2-pre",
            "4.21.2-rc1",
            "4.21-unstable",
            "4.21",
            "4.21.1.xs9",
        ];
        let sound = [
            "4.17.5",
            "4.20.2",
            "4.21.2",
            "4.21.3-pre",
            "4.21.10",
            "4.22.0",
            "4.2.1",
            "4.210.0",
            "5.21.0",
            "",
            "4",
            "unknown",
        ];
        assert!(broken.iter().all(|version| resume_is_broken(version)));
        let wrong = sound.iter().find(|version| resume_is_broken(version));
        assert_eq!(wrong, None);
    }
}
