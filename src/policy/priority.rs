//! How urgent a call or a job is.

use super::mistake::Mistake;

/// How urgent a waiting call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Served first.
    High,
    /// In between.
    #[default]
    Normal,
    /// Served last.
    Low,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The priority with this name: `high`, `normal` or `low`.
    ///
    /// # Errors
    /// A [`Mistake`] whose field is empty.
    pub fn parse(name: &str) -> Result<Self, Mistake> {
        Self::ALL.into_iter().find(|priority| priority.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            Mistake::new("", format!("is `{shown}`, which is no priority"), "use `high`, `normal` or `low`")
        })
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_nothing_else_is() {
        for priority in Priority::ALL {
            assert_eq!(Priority::parse(priority.name()), Ok(priority));
        }
        assert!(Priority::ALL.is_sorted() && Priority::ALL.contains(&Priority::default()));
        let mistake = Priority::parse("High").expect_err("no priority").under("priority").to_string();
        assert_eq!(mistake, "`priority` is `High`, which is no priority; use `high`, `normal` or `low`");
    }
}
