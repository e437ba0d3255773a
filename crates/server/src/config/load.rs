//! Lays the sources of settings over each other: defaults, file, environment, flags; the later one wins.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{ConfigError, DEFAULT_TOML, RawConfig};

/// What environment variables for settings begin with.
const VARIABLE_PREFIX: &str = "ESCROW_";

/// Everything that settings can come from besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<ConfigFile>,
    /// The environment: all of it, or the part that begins with `ESCROW_`.
    pub environment: BTreeMap<String, String>,
    /// Flags: the setting (`http.idle_ms`) and the text that was given for it.
    pub flags: Vec<(&'static str, String)>,
}

/// A file of settings.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// What to call it in errors.
    pub name: String,
    /// What it holds.
    pub text: String,
}

impl Sources {
    /// Variables that look like settings and are none: mistyped, or somebody else's. They change nothing.
    pub fn unknown_variables(&self) -> Vec<&str> {
        let known = variables(&defaults());
        let names = self.environment.keys().map(String::as_str);
        names.filter(|name| name.starts_with(VARIABLE_PREFIX) && !known.contains_key(*name)).collect()
    }
}

impl RawConfig {
    /// The settings of all sources together.
    ///
    /// # Errors
    /// [`ConfigError::Shape`], [`ConfigError::Text`]. Whether the values make sense is checked later.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut settings = defaults();
        if let Some(file) = &sources.file {
            let shape = |error| ConfigError::Shape { origin: file.name.clone(), error: Box::new(error) };
            overlay(&mut settings, file.text.parse::<Table>().map_err(shape)?);
            settings.clone().try_into::<Self>().map_err(shape)?;
        }
        for (name, key) in variables(&defaults()) {
            if let Some(text) = sources.environment.get(&name) {
                set(&mut settings, &name, &key, text)?;
            }
        }
        for (key, text) in &sources.flags {
            set(&mut settings, "command line", key, text)?;
        }
        settings
            .try_into()
            .map_err(|error| ConfigError::Shape { origin: "settings".to_owned(), error: Box::new(error) })
    }
}

fn defaults() -> Table {
    // `expect`: the text is part of the program, and every test of this module reads it.
    DEFAULT_TOML.parse().expect("config/default.toml is TOML")
}

/// Replaces what `layer` says, table by table.
fn overlay(settings: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (settings.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => drop(settings.insert(key, value)),
        }
    }
}

/// Each setting's environment variable, with the setting it is for.
fn variables(settings: &Table) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |key: &str| {
        let name = format!("{VARIABLE_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase());
        found.insert(name, key.to_owned());
    };
    for (key, value) in settings {
        match value {
            Value::Table(section) => section.keys().for_each(|inner| add(&format!("{key}.{inner}"))),
            _ => add(key),
        }
    }
    found
}

/// Puts a text in place of a setting, as the kind of value that the setting has.
fn set(settings: &mut Table, origin: &str, key: &str, text: &str) -> Result<(), ConfigError> {
    let refuse = |expected| ConfigError::Text {
        origin: origin.to_owned(),
        key: key.to_owned(),
        value: text.to_owned(),
        expected,
    };
    let slot = match key.split_once('.') {
        Some((section, name)) => settings.get_mut(section).and_then(|section| section.get_mut(name)),
        None => settings.get_mut(key),
    };
    let slot = slot.ok_or_else(|| refuse("a setting that exists"))?;
    *slot = match slot {
        Value::Integer(_) => Value::Integer(text.trim().parse().map_err(|_| refuse("a whole number"))?),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(Value::from).collect())
        }
        _ => Value::from(text),
    };
    Ok(())
}
