//! A node together with its key path, for readers that must say where a problem is.
//!
//! In: the root of a tree. Out: views of its parts, each knowing a path such as
//! `Models[0].Metadata.FLOPs`.

use super::{Key, Node};

/// A node and its path from the root.
#[derive(Clone, Debug)]
pub struct View<'a> {
    node: &'a Node,
    path: String,
}

impl<'a> View<'a> {
    /// The root of a tree.
    pub fn root(node: &'a Node) -> Self {
        View::at(node, "")
    }

    /// A node whose path is known.
    pub fn at(node: &'a Node, path: impl Into<String>) -> Self {
        View { node, path: path.into() }
    }

    /// The node.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// The path, such as `Models[0].Metadata.FLOPs`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of exactly this key.
    pub fn get(&self, key: &str) -> Option<View<'a>> {
        self.node.get(key).map(|node| View { node, path: join(&self.path, key) })
    }

    /// The value of a key in any case and with `_`, `-` or nothing for a space; null counts as absent.
    pub fn field(&self, name: &str) -> Option<View<'a>> {
        self.node.field(name).map(|node| View { node, path: join(&self.path, name) })
    }

    /// The pairs of a mapping; nothing where it is none.
    pub fn entries(&self) -> impl Iterator<Item = (&'a Key, View<'a>)> + use<'a, '_> {
        let pairs = self.node.mapping().into_iter().flat_map(|m| m.iter());
        pairs.map(|(key, node)| (key, View { node, path: join(&self.path, key.text()) }))
    }

    /// The items of a list; nothing where it is none.
    pub fn items(&self) -> impl Iterator<Item = View<'a>> + use<'a, '_> {
        let items = self.node.sequence().unwrap_or_default().iter().enumerate();
        items.map(|(i, node)| View { node, path: format!("{}[{i}]", self.path) })
    }

    /// The items of a list, or the one value; nothing where it is null.
    pub fn one_or_many(&self) -> Vec<View<'a>> {
        match self.node.sequence() {
            Some(_) => self.items().collect(),
            None if self.node.is_null() => Vec::new(),
            None => vec![self.clone()],
        }
    }

    /// The text of a scalar that is not null, whatever its type.
    pub fn text(&self) -> Option<&'a str> {
        self.node.text()
    }
}

/// The path of a key below a path.
pub fn join(path: &str, key: &str) -> String {
    match path.is_empty() {
        true => key.to_owned(),
        false => format!("{path}.{key}"),
    }
}
