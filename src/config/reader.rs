//! Walks the TOML tree and the environment side by side, and collects every mistake on the way. Serde would stop at
//! the first one, and forget at which line each value stood.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::environment::{self, Environment};
use super::errors::{ConfigErrors, Fault, Place};
use super::section::Section;
use crate::policy::{Mistake, nearest};

/// What the sections of one configuration share.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    origin: &'a str,
    /// Where each line starts, in bytes.
    line_starts: Vec<usize>,
    faults: Vec<Fault>,
    /// The lines that are not TOML.
    broken: BTreeSet<Place>,
    /// The variables that something asked for.
    variables: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads `text`, named `origin`, with `read`, which is given the top level.
    pub(super) fn read<T>(
        text: &'a str,
        origin: &'a str,
        environment: &'a Environment,
        read: impl FnOnce(&mut Section<'_, '_>) -> T,
    ) -> Result<T, ConfigErrors> {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let variables = [environment::SERVER_VARIABLE, environment::TOKEN_VARIABLE].map(str::to_owned).to_vec();
        let (tree, syntax_errors) = DeTable::parse_recoverable(text);
        let mut reader =
            Reader { environment, origin, line_starts, faults: Vec::new(), broken: BTreeSet::new(), variables };
        reader.report_syntax_errors(&syntax_errors);
        let place = reader.place(None);
        let value = Section::read(&mut reader, String::new(), Some(tree.get_ref()), place, read);
        reader.report_unknown_variables();
        if reader.faults.is_empty() { Ok(value) } else { Err(ConfigErrors::new(reader.faults)) }
    }

    /// The line at byte `at` of the file, or the whole file.
    pub(super) fn place(&self, at: Option<usize>) -> Place {
        let line = at.map(|at| self.line_starts.partition_point(|start| *start <= at));
        Place::File { name: self.origin.to_owned(), line }
    }

    /// What is left of a line that is not TOML is not judged further.
    pub(super) fn report(&mut self, place: Place, mistake: Mistake) {
        if !self.broken.contains(&place) {
            self.faults.push(Fault { place, mistake });
        }
    }

    /// Whether all of the file is in the tree. If not, what is missing or misplaced there may be neither in truth.
    pub(super) fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The value of a variable, which is known from now on.
    pub(super) fn variable(&mut self, name: &str) -> Option<&'a str> {
        self.variables.push(name.to_owned());
        let environment: &'a Environment = self.environment;
        match environment.get(name) {
            Ok(value) => value,
            Err(mistake) => {
                self.report(Place::Variable(name.to_owned()), mistake);
                None
            }
        }
    }

    fn report_unknown_variables(&mut self) {
        let is_known = |name: &str| self.variables.iter().any(|known| known == name);
        let unknown: Vec<&str> = self.environment.names().filter(|name| !is_known(name)).collect();
        for name in unknown {
            let hint = match nearest(name, self.variables.iter().map(String::as_str)) {
                Some(known) => format!("did you mean `{known}`? if not, unset it"),
                None => "unset it; a setting's variable is `TOLLGATE_<SECTION>_<FIELD>`, for example \
                         `TOLLGATE_SERVER_LISTEN`"
                    .to_owned(),
            };
            self.report(Place::Variable(name.to_owned()), Mistake::new("", "is no setting", hint));
        }
    }

    /// One for each line: the parser stumbles on over what is left of it.
    fn report_syntax_errors(&mut self, errors: &[toml::de::Error]) {
        for error in errors {
            let place = self.place(error.span().map(|span| span.start));
            if self.broken.insert(place.clone()) {
                let hint = "write `[section]` and `name = value` on lines of their own, texts in double quotes";
                let mistake = Mistake::new("", format!("is not TOML: {}", error.message()), hint);
                self.faults.push(Fault { place, mistake });
            }
        }
    }
}

/// A setting as the file has it.
pub(super) struct Written<'a> {
    pub(super) place: Place,
    pub(super) value: &'a DeValue<'a>,
}
