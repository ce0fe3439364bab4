//! Descriptors say how long the files of segments are, and whatever lists a store compares.

use crate::harness::Place;

#[test]
fn a_descriptor_says_the_length_of_each_segment() {
    let place = Place::new();
    place.sample_tree("tree", 1);
    place.succeed([
        "backup",
        "--dest=store",
        "--compression=none",
        "--segment-size=64K",
        "tree",
    ]);
    // A line-wise reader that knows nothing of pileus.
    let compare = "
import glob, os
lists, key = {}, None
for line in open(glob.glob('store/*.lbs')[0]):
    if line.startswith(' '):
        lists[key].append(line.strip())
    else:
        key = line.split(':')[0]
        lists[key] = []
assert len(lists['Segments']) > 3, lists
lengths = [str(os.path.getsize('store/%s.tar' % id)) for id in lists['Segments']]
assert lists['Segment-bytes'] == lengths, lists
";
    place.python(compare, &[]);
}
