package vote

// Book holds the votes of a height. Signatures are checked before.
type Book struct {
	set     *Set
	votes   map[slot][]*Vote // different ones of one validator, kind and round are a double vote: the first few are kept
	list    []*Vote
	top     uint32
	highest []uint32 // by validator: the highest round that it spoke of, plus 1
}

type slot struct {
	kind, round uint32
	signer      int
}

// Bounds of what a validator that lies can fill: rounds ahead of this node's, and different votes of one kind and round. More than one is kept,
// because others may have counted another one than this node heard first.
const (
	RoundsAhead = 10
	Different   = 4
)

// NewBook makes the book of a height.
func NewBook(set *Set) *Book {
	return &Book{set: set, votes: map[slot][]*Vote{}, highest: make([]uint32, len(set.Validators))}
}

// Has says whether the book has a vote, signature apart.
func (b *Book) Has(v *Vote) bool {
	for _, other := range b.Of(v.Kind, v.Round, v.Signer) {
		if other.Text == v.Text {
			return true
		}
	}
	return false
}

// Add takes a vote that it does not have. It returns the vote that this one contradicts, the first time: both together are evidence.
func (b *Book) Add(v *Vote, round uint32) (contradicts *Vote) {
	if v.Round == ^uint32(0) {
		return nil
	}
	b.highest[v.Signer] = max(b.highest[v.Signer], v.Round+1)
	s := slot{v.Kind, v.Round, v.Signer}
	before := b.votes[s]
	if v.Round > round && v.Round-round > RoundsAhead || len(before) == Different {
		return nil
	}
	b.votes[s] = append(before, v)
	b.list = append(b.list, v)
	b.top = max(b.top, v.Round)
	if len(before) == 1 {
		return before[0]
	}
	return nil
}

// Of is what a validator said, of a kind in a round.
func (b *Book) Of(kind, round uint32, signer int) []*Vote { return b.votes[slot{kind, round, signer}] }

// All is every vote, in the order in which they came.
func (b *Book) All() []*Vote { return b.list }

// Top is the highest round of a vote that is kept.
func (b *Book) Top() uint32 { return b.top }

// Quorum says whether more than two thirds voted in a round: for a text, or for anything (nil).
func (b *Book) Quorum(kind, round uint32, text *string) bool {
	power := uint64(0)
	for i, v := range b.set.Validators {
		for _, vote := range b.Of(kind, round, i) {
			if text == nil || vote.Text == *text {
				power += v.GetPower()
				break
			}
		}
	}
	return b.set.TwoThirds(power)
}

// Majority is the text that more than two thirds voted for in a round. ok is false when there is none.
func (b *Book) Majority(kind, round uint32) (text string, ok bool) {
	for i := range b.set.Validators {
		for _, v := range b.Of(kind, round, i) {
			if b.Quorum(kind, round, &v.Text) {
				return v.Text, true
			}
		}
	}
	return "", false
}

// For is the votes for a text in a round, one of each validator: a certificate, when they are a quorum.
func (b *Book) For(kind, round uint32, text string) (list []*Vote) {
	for i := range b.set.Validators {
		for _, v := range b.Of(kind, round, i) {
			if v.Text == text {
				list = append(list, v)
				break
			}
		}
	}
	return list
}

// Ahead is the highest round that more than one third has reached, so that an honest validator has.
func (b *Book) Ahead() uint32 {
	best := uint32(1)
	for _, round := range b.highest {
		power := uint64(0)
		for i, other := range b.highest {
			if other >= round {
				power += b.set.Validators[i].GetPower()
			}
		}
		if round > best && b.set.OneThird(power) {
			best = round
		}
	}
	return best - 1
}
