//! The schemas of `conformance/frames/schema/`, ready to validate with.

use jsonschema::{Registry, Validator};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What every `$id` begins with.
const BASE: &str = "https://bivouac.invalid/conformance/frames/schema/";

/// The folder with schemas and golden frames.
pub(crate) fn frames_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/frames")
}

/// Every schema, by its path below `schema/` without the suffix (`op/http`).
pub(crate) fn all() -> Vec<(String, Value)> {
    let root = frames_dir().join("schema");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder of schemas") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                let name = name.strip_suffix(".schema.json").expect("schemas end in .schema.json").to_owned();
                let text = fs::read_to_string(&path).expect("a schema");
                found.push((name, serde_json::from_str(&text).expect("a schema is JSON")));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// A validator for each schema.
pub(crate) struct Schemas(Vec<(String, Validator)>);

impl Schemas {
    pub(crate) fn load() -> Self {
        let all = all();
        let mut registry = Registry::new();
        for (name, schema) in &all {
            registry = registry.add(format!("{BASE}{name}.schema.json"), schema.clone()).expect("an id is a URI");
        }
        let registry = registry.prepare().expect("every reference leads to a schema");
        let validators = all
            .iter()
            .map(|(name, schema)| {
                let built = jsonschema::options().with_registry(&registry).build(schema);
                (name.clone(), built.unwrap_or_else(|error| panic!("schema {name}: {error}")))
            })
            .collect();
        Self(validators)
    }

    /// Panics with what is wrong where the value is not what the schema says.
    pub(crate) fn check(&self, name: &str, value: &Value, what: &str) {
        let errors: Vec<String> =
            self.get(name).iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{what} is not valid by the schema {name}:\n{}", errors.join("\n"));
    }

    pub(crate) fn accepts(&self, name: &str, value: &Value) -> bool {
        self.get(name).is_valid(value)
    }

    fn get(&self, name: &str) -> &Validator {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("there is no schema {name}")).1
    }
}

#[test]
fn every_schema_is_valid_names_itself_and_explains_itself() {
    for (name, schema) in all() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert_eq!(schema["$id"], format!("{BASE}{name}.schema.json"));
        assert!(schema["title"].is_string() && schema["description"].is_string(), "{name} says what it is for");
        if let Err(error) = jsonschema::meta::validate(&schema) {
            panic!("schema {name}: {error}");
        }
    }
    Schemas::load();
}
