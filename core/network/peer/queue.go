package peer

// Class says what a frame is: the higher ones are sent first, and dropped last.
type Class uint8

// The classes. Control goes by the control stream, the rest by bulk.
const (
	Control Class = iota // consensus messages
	Bodies               // parts of proposals
	Fetches              // requests and answers
	Gossip               // transactions
	classes
)

// String is the name of the class in metrics.
func (c Class) String() string {
	return [...]string{"control", "bodies", "fetches", "gossip", "?"}[min(c, classes)]
}

// Classes are all classes.
func Classes() []Class { return []Class{Control, Bodies, Fetches, Gossip} }

// Item is a frame that waits to be sent.
type Item struct {
	Class  Class
	Height uint64 // of a consensus message
	Group  uint64 // frames that are of no use without each other have the same, above 0
	Last   bool   // no more of the group come
	Bytes  int
	Frame  any
}

// Pushed is what became of an item.
type Pushed uint8

const (
	Queued  Pushed = iota
	Dropped        // there is no room for it
	Full           // there is no room for a control message of the current height: the peer does not read
)

// Queue is what waits to be sent to a peer, bounded in bytes. When it is full, the newest bulk goes first: transactions, then
// answers, then bodies. Then control messages of heights that are decided go. One of the current height or above is never dropped: Push says Full,
// and the link has to end. It is not safe for concurrent use.
type Queue struct {
	limit   int
	bytes   int
	height  uint64 // the current one: control messages below it are of no use any more
	lanes   [classes]deque
	size    [classes]int
	head    *Item // the newest head; an older one that was not sent is replaced
	broken  map[uint64]struct{}
	dropped [classes]uint64
}

// NewQueue is a queue for so many bytes.
func NewQueue(limit int) *Queue { return &Queue{limit: limit, broken: make(map[uint64]struct{})} }

// maxBroken bounds the groups that are remembered as incomplete; a group ends with its last frame.
const maxBroken = 256

// Push appends an item.
func (q *Queue) Push(i Item) Pushed {
	if _, broken := q.broken[i.Group]; broken && i.Group != 0 {
		if i.Last {
			delete(q.broken, i.Group)
		}
		q.dropped[i.Class]++
		return Dropped
	}
	for q.bytes+i.Bytes > q.limit {
		if q.dropBelow(i.Class) {
			continue
		}
		if i.Class != Control {
			q.drop(i)
			return Dropped
		}
		if !q.dropDecided() {
			q.dropped[Control]++
			return Full
		}
	}
	q.lanes[i.Class].push(i)
	q.count(i, 1)
	return Queued
}

// SetHead replaces the head that waits to be sent.
func (q *Queue) SetHead(i Item) { q.head = &i }

// SetHeight tells the height that is being decided.
func (q *Queue) SetHeight(h uint64) { q.height = h }

// PopControl takes what the control stream is to send next. A head goes before the messages of the heights that it opens.
func (q *Queue) PopControl() (Item, bool) {
	if i := q.head; i != nil {
		q.head = nil
		return *i, true
	}
	return q.pop(Control)
}

// PopBulk takes what the bulk stream is to send next.
func (q *Queue) PopBulk() (Item, bool) {
	for c := Bodies; c < classes; c++ {
		if i, ok := q.pop(c); ok {
			return i, true
		}
	}
	return Item{}, false
}

// Bytes is how much waits.
func (q *Queue) Bytes() int { return q.bytes }

// ClassBytes is how much of a class waits.
func (q *Queue) ClassBytes(c Class) int { return q.size[c] }

// Dropped is how many items of a class were dropped.
func (q *Queue) Dropped(c Class) uint64 { return q.dropped[c] }

func (q *Queue) pop(c Class) (Item, bool) {
	i, ok := q.lanes[c].popFront()
	if ok {
		q.count(i, -1)
	}
	return i, ok
}

func (q *Queue) count(i Item, sign int) {
	q.bytes += sign * i.Bytes
	q.size[i.Class] += sign * i.Bytes
}

// dropBelow drops the newest item of the lowest class below c that has one.
func (q *Queue) dropBelow(c Class) bool {
	for of := classes - 1; of > c; of-- {
		if i, ok := q.lanes[of].popBack(); ok {
			q.count(i, -1)
			q.drop(i)
			return true
		}
	}
	return false
}

// dropDecided drops the oldest control message of a height that is decided.
func (q *Queue) dropDecided() bool {
	lane := &q.lanes[Control]
	for at := range lane.len() {
		if i := *lane.at(at); i.Height < q.height {
			lane.remove(at)
			q.count(i, -1)
			q.dropped[Control]++
			return true
		}
	}
	return false
}

// drop counts an item that will not be sent. What follows it in its group is of no use.
func (q *Queue) drop(i Item) {
	q.dropped[i.Class]++
	if i.Group == 0 || i.Last {
		return
	}
	if len(q.broken) >= maxBroken {
		clear(q.broken)
	}
	q.broken[i.Group] = struct{}{}
}

// deque is a list with two ends.
type deque struct {
	items []Item
	first int
}

func (d *deque) len() int       { return len(d.items) - d.first }
func (d *deque) at(i int) *Item { return &d.items[d.first+i] }
func (d *deque) push(i Item)    { d.items = append(d.items, i) }

func (d *deque) popFront() (i Item, ok bool) {
	if d.len() == 0 {
		return i, false
	}
	i, d.items[d.first] = d.items[d.first], Item{}
	d.first++
	if d.first > 32 && d.first > len(d.items)/2 {
		n := copy(d.items, d.items[d.first:])
		clear(d.items[n:])
		d.items, d.first = d.items[:n], 0
	}
	return i, true
}

func (d *deque) popBack() (i Item, ok bool) {
	if d.len() == 0 {
		return i, false
	}
	last := len(d.items) - 1
	i, d.items[last] = d.items[last], Item{}
	d.items = d.items[:last]
	return i, true
}

func (d *deque) remove(i int) {
	at := d.first + i
	copy(d.items[at:], d.items[at+1:])
	d.items[len(d.items)-1] = Item{}
	d.items = d.items[:len(d.items)-1]
}
