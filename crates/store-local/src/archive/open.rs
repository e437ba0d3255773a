//! How an archive is found.

use std::sync::Arc;

use super::name::Name;
use super::partition::{Context, Current, Partition};
use crate::database::{self, Failure, OpenError};

/// The names of all partitions, in their order. Removes what is left of files that were being made or removed.
pub(super) fn sweep(context: &Context) -> Result<Vec<Name>, OpenError> {
    let io_error = |source| OpenError::Io { path: context.dir.clone(), source };
    let files = context.disk.list(&context.dir).map_err(io_error)?;
    let mut names: Vec<Name> = files.iter().filter_map(|file| Name::parse(file)).collect();
    names.sort_unstable();
    for file in &files {
        let leftover = database::leftover_of(file).and_then(Name::parse);
        if leftover.is_some_and(|name| file.contains(database::UNFINISHED) || !names.contains(&name)) {
            context.disk.remove(&context.dir.join(file)).map_err(io_error)?;
        }
    }
    Ok(names)
}

type Opened = (Vec<Arc<Partition>>, Option<Arc<Current>>);

/// Opens all partitions. The last one goes on if it was not closed.
pub(super) fn partitions(context: &Context, names: &[Name]) -> Result<Opened, OpenError> {
    let mut partitions = Vec::with_capacity(names.len());
    let mut last = None;
    for (index, &name) in names.iter().enumerate() {
        let partition = match Partition::open_closed(context, name)? {
            Some(partition) => partition,
            None => {
                let current = Arc::new(Current::open(context, name)?);
                if index + 1 == names.len() {
                    let partition = Partition::of_current(&current);
                    last = Some(current);
                    partition
                } else {
                    let failed = |failure: Failure| OpenError::Close { path: context.path(name), source: failure };
                    current.close().map_err(failed)?
                }
            }
        };
        partitions.push(Arc::new(partition));
    }
    Ok((partitions, last))
}
