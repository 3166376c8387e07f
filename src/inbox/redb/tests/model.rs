//! The file behaves like the store in memory.

use proptest::prelude::*;

use super::{
    super::super::model::{Subject, bounds, compare, operations},
    *,
};
use crate::inbox::store::Store;

struct File {
    disk: Disk,
    store: RedbStore,
    bounds: Bounds,
    clock: FixedClock,
}

impl Subject for File {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn kill(&mut self) {
        // The old store may still write while it closes. These writes go to the old disk.
        self.disk = self.disk.after_kill();
        self.store = open(&self.disk, self.bounds, &self.clock).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn the_file_does_what_the_store_in_memory_does(operations in operations(), bounds in bounds()) {
        let open = async |bounds, clock| {
            let disk = created();
            File { store: open(&disk, bounds, &clock).unwrap(), disk, bounds, clock }
        };
        block_on(compare(open, bounds, operations))?;
    }
}
