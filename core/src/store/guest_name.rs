//! What a guest may be called in a new checkpoint. Checkpoints that are there already may have any name.

/// Names are as long as hypervisors and file systems allow, and no longer.
pub const GUEST_NAME_BYTES_MAX: usize = 200;

/// Why a name is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuestNameFault {
    /// Nothing, or nothing that is seen.
    #[error("it is empty or blank")]
    Blank,
    /// It would break the lines it is printed in, or order the terminal about.
    #[error("it holds the control character {0:?}")]
    Control(char),
    /// It is too long for a table or a file's name.
    #[error("it has {0} bytes, at most {GUEST_NAME_BYTES_MAX} are allowed")]
    TooLong(usize),
}

/// Can the guest of a new checkpoint be called this? Names come from command lines and save files.
pub fn check_guest_name(name: &str) -> Result<(), GuestNameFault> {
    if name.len() > GUEST_NAME_BYTES_MAX {
        return Err(GuestNameFault::TooLong(name.len()));
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return Err(GuestNameFault::Control(c));
    }
    if name.trim().is_empty() {
        return Err(GuestNameFault::Blank);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_and_every_blank_is_refused_anywhere() {
        for c in ('\0'..=char::MAX).filter(|c| c.is_control()) {
            for name in [format!("{c}"), format!("{c}a"), format!("a{c}"), format!("a{c}b")] {
                assert_eq!(check_guest_name(&name), Err(GuestNameFault::Control(c)));
            }
        }
        for c in ('\0'..=char::MAX).filter(|c| c.is_whitespace() && !c.is_control()) {
            assert_eq!(check_guest_name(&format!("{c}{c}")), Err(GuestNameFault::Blank));
            assert_eq!(check_guest_name(&format!("web{c}1")), Ok(()));
        }
        assert_eq!(check_guest_name(""), Err(GuestNameFault::Blank));
        assert_eq!(check_guest_name(&"é".repeat(100)), Ok(()));
        assert_eq!(
            check_guest_name(&"x".repeat(201)),
            Err(GuestNameFault::TooLong(201))
        );
    }
}
