//! Makes one tree of several files: tables merge key by key, anything else is replaced by the later file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::files::Sources;
use super::{ConfigError, Place, explain};

/// A key that a later file replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its path, keys joined by `.`.
    pub key: String,
    /// Where the value in force is.
    pub by: Place,
    /// Where the value without effect is.
    pub was: Place,
}

/// Parses and merges all sources in order.
pub(super) fn merge(sources: &Sources) -> Result<(DeTable<'_>, Vec<Override>), ConfigError> {
    let mut tree = DeTable::new();
    let mut overrides = vec![];
    for text in sources.texts() {
        match DeTable::parse(text) {
            Ok(table) => {
                let mut merging = Merging { sources, overrides: &mut overrides };
                merging.table(&mut tree, table.into_inner(), "")?;
            }
            Err(error) => return Err(explain::syntax(&error, text.len(), sources)),
        }
    }
    Ok((tree, overrides))
}

struct Merging<'s> {
    sources: &'s Sources,
    overrides: &'s mut Vec<Override>,
}

impl Merging<'_> {
    fn table<'t>(&mut self, into: &mut DeTable<'t>, from: DeTable<'t>, path: &str) -> Result<(), ConfigError> {
        for (key, value) in from {
            let dot = if path.is_empty() { "" } else { "." };
            let here = format!("{path}{dot}{}", key.get_ref());
            // Taken out and put back, because inserting over a key would keep the old key's place.
            let Some((old_key, mut old)) = into.remove_entry::<str>(key.get_ref()) else {
                into.insert(key, value);
                continue;
            };
            let (was, by) = (self.sources.place(old_key.span().start), self.sources.place(key.span().start));
            if old.get_ref().is_table() != value.get_ref().is_table() {
                let text =
                    format!("`{here}` is a {} here, but a {} in {was}; one of them must go", kind(&value), kind(&old));
                return Err(ConfigError::Wrong { place: by, text });
            }
            if let DeValue::Table(old_table) = old.get_mut() {
                if let DeValue::Table(table) = value.into_inner() {
                    self.table(old_table, table, &here)?;
                }
                into.insert(old_key, old);
            } else {
                into.insert(key, value);
                self.overrides.push(Override { key: here, by, was });
            }
        }
        Ok(())
    }
}

fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::Table(_) => "table",
        DeValue::Array(_) => "list",
        DeValue::Boolean(_) => "yes/no value",
        DeValue::String(_) => "text",
        _ => "value",
    }
}
