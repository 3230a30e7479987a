//! What an identity server may do with each resource type: `may` of the configuration.

use crate::scim::Error;

/// Something done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// POST.
    Create,
    /// GET and filters.
    Read,
    /// PUT and PATCH.
    Update,
    /// `active: false`, and a DELETE that may not delete.
    Deactivate,
    /// DELETE.
    Delete,
}

impl Operation {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Read => "read",
            Operation::Update => "update",
            Operation::Deactivate => "deactivate",
            Operation::Delete => "delete",
        }
    }
}

/// Which operations are allowed on which resource types.
#[derive(Clone, Debug, Default)]
pub struct Permissions(Option<Vec<(String, Vec<Operation>)>>);

impl Permissions {
    /// Everything.
    pub fn all() -> Self {
        Self(None)
    }

    /// Only these; a type that is not named may be nothing.
    pub fn only(types: Vec<(String, Vec<Operation>)>) -> Self {
        Self(Some(types))
    }

    /// Whether an operation is allowed.
    pub fn allow(&self, resource_type: &str, operation: Operation) -> bool {
        self.0.as_ref().is_none_or(|types| {
            types.iter().any(|(name, operations)| name == resource_type && operations.contains(&operation))
        })
    }

    /// 403 with the rule's name where it is not.
    pub fn check(&self, resource_type: &str, operation: Operation) -> Result<(), Error> {
        if self.allow(resource_type, operation) {
            return Ok(());
        }
        Err(Error::forbidden(format!(
            "this identity server may not {} a {resource_type}: `may` in its configuration does not list it",
            operation.as_str()
        )))
    }
}
