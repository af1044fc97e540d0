//! One table of the configuration: reads its settings, lets a variable override each, and at the end reports what
//! nobody asked for.

use toml::de::{DeTable, DeValue};

use super::environment::VARIABLE_PREFIX;
use super::errors::Place;
use super::reader::{Reader, Written};
use super::scalar::{Scalar, described, shown};
use crate::policy::{Mistake, nearest};

/// A table that is being read. A setting that is missing or mistaken reads as `None`, or as its default: what the
/// section makes of it is thrown away then.
pub(super) struct Section<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    /// Empty at the top level.
    path: String,
    table: Option<&'a DeTable<'a>>,
    place: Place,
    /// Whether the names in it are those that are asked for, and none else.
    has_fixed_names: bool,
    /// Whether variables override its settings.
    has_variables: bool,
    asked: Vec<&'a str>,
    faults_before: usize,
}

impl<'a> Section<'_, 'a> {
    /// Reads one table and reports the names that `read` did not ask for.
    pub(super) fn read<'r, T>(
        reader: &'r mut Reader<'a>,
        path: String,
        table: Option<&'a DeTable<'a>>,
        place: Place,
        read: impl FnOnce(&mut Section<'_, 'a>) -> T,
    ) -> T {
        // A table of an array has no name that a variable could carry.
        let has_variables = !path.contains('[');
        let faults_before = reader.faults().len();
        let mut section = Section {
            reader,
            path,
            table,
            place,
            has_fixed_names: true,
            has_variables,
            asked: Vec::new(),
            faults_before,
        };
        let value = read(&mut section);
        if section.has_fixed_names && section.reader.is_whole() {
            section.report_unknown_names();
        }
        value
    }

    /// Reads the table `name` in this one; when it is not written, only variables and defaults are read.
    pub(super) fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'_, 'a>) -> T) -> T {
        let path = self.path_of(name);
        let (table, place) = match self.written(name) {
            None => (None, self.place.clone()),
            Some(Written { place, value }) => {
                if value.as_table().is_none() {
                    let hint = format!("write `[{path}]` on a line of its own and its settings below it");
                    let mistake = Mistake::new("", format!("is {}, not a table", described(value)), hint);
                    self.report(place.clone(), name, mistake);
                }
                (value.as_table(), place)
            }
        };
        Section::read(self.reader, path, table, place, read)
    }

    /// Reads each table of the array `[[name]]`.
    pub(super) fn tables<T>(&mut self, name: &'static str, mut read: impl FnMut(&mut Section<'_, 'a>) -> T) -> Vec<T> {
        let array_path = self.path_of(name);
        let hint = format!("write `[[{array_path}]]` on a line of its own and its fields below it");
        let Some(Written { place, value }) = self.written(name) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            let problem = format!("is {}, not an array of tables", described(value));
            self.report(place, name, Mistake::new("", problem, hint));
            return Vec::new();
        };
        let mut values = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let path = format!("{array_path}[{index}]");
            let place = self.reader.place(Some(element.span().start));
            match element.get_ref() {
                DeValue::Table(table) => values.push(Section::read(self.reader, path, Some(table), place, &mut read)),
                other => {
                    let mistake = Mistake::new(path, format!("is {}, not a table", described(other)), hint.clone());
                    self.reader.report(place, mistake);
                }
            }
        }
        values
    }

    /// The names that are written in this table, whatever they are. No variable overrides what they stand for.
    pub(super) fn any_names(&mut self) -> Vec<&'a str> {
        self.has_fixed_names = false;
        self.names()
    }

    /// The setting `name` as `check` has it, which may refuse it with a mistake whose field is empty. What the file
    /// says is checked even if a variable overrides it.
    pub(super) fn value<T: Scalar, U>(&mut self, name: &'a str, check: impl Fn(T) -> Result<U, Mistake>) -> Option<U> {
        let from_file = self.written(name).and_then(|Written { place, value }| {
            let checked = T::read_toml(value).and_then(&check);
            checked.map_err(|mistake| self.report(place, name, mistake)).ok()
        });
        let from_variable = self.variable_of(name).and_then(|variable| {
            let text = self.reader.variable(&variable)?;
            let checked = T::read_text(text).and_then(&check);
            checked.map_err(|mistake| self.report(Place::Variable(variable), name, mistake)).ok()
        });
        from_variable.or(from_file)
    }

    /// Whether the table is in the file.
    pub(super) fn is_written(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file or a variable sets it.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.own_place_of(name).is_some()
    }

    /// Knows a setting that is of no interest as things stand.
    pub(super) fn asks_for(&mut self, name: &'static str) {
        let _: Option<String> = self.value(name, Ok);
    }

    /// Reports the field if it is not written.
    pub(super) fn require(&mut self, name: &str, hint: &str) {
        if self.reader.is_whole() && self.find(name).is_none() {
            self.blame(&[], Mistake::new(name, "is missing", hint));
        }
    }

    /// Whether all settings read so far have the value that was meant, so that they may be compared.
    pub(super) fn is_sound(&self) -> bool {
        self.reader.is_whole() && self.reader.faults().len() == self.faults_before
    }

    /// Whether a mistake in `name` was reported.
    pub(super) fn is_blamed(&self, name: &str) -> bool {
        let path = self.path_of(name);
        self.reader.faults()[self.faults_before..].iter().any(|fault| fault.mistake.field == path)
    }

    /// Reports a mistake in a field of this section, at the first of `names` that is set.
    pub(super) fn blame(&mut self, names: &[&str], mistake: Mistake) {
        let place = names.iter().find_map(|name| self.own_place_of(name)).unwrap_or_else(|| self.place.clone());
        self.reader.report(place, mistake.under(&self.path));
    }

    /// Where the setting has its value from: its variable, else its line, else its table.
    pub(super) fn place_of(&self, name: &str) -> Place {
        self.own_place_of(name).unwrap_or_else(|| self.place.clone())
    }

    fn own_place_of(&self, name: &str) -> Option<Place> {
        let variable = self.variable_of(name).filter(|variable| self.reader.environment.is_set(variable));
        variable.map(Place::Variable).or_else(|| self.find(name).map(|written| written.place))
    }

    fn report(&mut self, place: Place, name: &str, mistake: Mistake) {
        self.reader.report(place, mistake.under(&self.path_of(name)));
    }

    fn written(&mut self, name: &'a str) -> Option<Written<'a>> {
        self.asked.push(name);
        self.find(name)
    }

    fn find(&self, name: &str) -> Option<Written<'a>> {
        let (key, value) = self.table?.get_key_value(name)?;
        Some(Written { place: self.reader.place(Some(key.span().start)), value: value.get_ref() })
    }

    /// The setting's key path.
    pub(super) fn path_of(&self, name: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.path, shown(name))
    }

    fn variable_of(&self, name: &str) -> Option<String> {
        let variable = || format!("{VARIABLE_PREFIX}{}", self.path_of(name).replace('.', "_").to_ascii_uppercase());
        (self.has_variables && self.has_fixed_names).then(variable)
    }

    fn names(&self) -> Vec<&'a str> {
        self.table.map(|table| table.keys().map(|key| key.get_ref().as_ref()).collect()).unwrap_or_default()
    }

    fn report_unknown_names(&mut self) {
        for name in self.names() {
            if self.asked.contains(&name) {
                continue;
            }
            let hint = nearest(name, self.asked.iter().copied()).map_or_else(
                || format!("remove it; known here are `{}`", self.asked.join("`, `")),
                |known| format!("did you mean `{known}`? if not, remove it"),
            );
            if let Some(Written { place, .. }) = self.find(name) {
                self.report(place, name, Mistake::new("", "is no setting", hint));
            }
        }
    }
}
