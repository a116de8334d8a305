package vote

// Book holds the votes of a height. Signatures are checked before.
type Book struct {
	set *Set
	// votes are those of a kind and round, by validator. Different ones of one validator are a double vote: the first few are kept.
	votes   map[ballot][][]*Vote
	list    []*Vote
	top     uint32
	highest []uint32 // by validator: the highest round that it spoke of, plus 1
}

type ballot struct{ kind, round uint32 }

// Bounds of what a validator that lies can fill: rounds ahead of this node's, and different votes of one kind and round. More than one is kept,
// because others may have counted another one than this node heard first.
const (
	RoundsAhead = 10
	Different   = 4
)

// NewBook makes the book of a height.
func NewBook(set *Set) *Book {
	return &Book{set: set, votes: map[ballot][][]*Vote{}, highest: make([]uint32, len(set.Validators))}
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
	before := b.Of(v.Kind, v.Round, v.Signer)
	if v.Round > round && v.Round-round > RoundsAhead || len(before) == Different {
		return nil
	}
	row := b.votes[ballot{v.Kind, v.Round}]
	if row == nil {
		row = make([][]*Vote, len(b.set.Validators))
		b.votes[ballot{v.Kind, v.Round}] = row
	}
	row[v.Signer] = append(before, v)
	b.list = append(b.list, v)
	b.top = max(b.top, v.Round)
	if len(before) == 1 {
		return before[0]
	}
	return nil
}

// Of is what a validator said, of a kind in a round.
func (b *Book) Of(kind, round uint32, signer int) []*Vote {
	if row := b.votes[ballot{kind, round}]; signer >= 0 && signer < len(row) {
		return row[signer]
	}
	return nil
}

// All is every vote, in the order in which they came.
func (b *Book) All() []*Vote { return b.list }

// Top is the highest round of a vote that is kept.
func (b *Book) Top() uint32 { return b.top }

// Quorum says whether more than two thirds voted in a round: for a text, or for anything (nil).
func (b *Book) Quorum(kind, round uint32, text *string) bool {
	return b.set.TwoThirds(b.power(b.votes[ballot{kind, round}], text))
}

func (b *Book) power(row [][]*Vote, text *string) (power uint64) {
	for i, votes := range row {
		for _, vote := range votes {
			if text == nil || vote.Text == *text {
				power += b.set.Validators[i].GetPower()
				break
			}
		}
	}
	return power
}

// Majority is the text that more than two thirds voted for in a round. ok is false when there is none.
func (b *Book) Majority(kind, round uint32) (text string, ok bool) {
	row := b.votes[ballot{kind, round}]
	for _, votes := range row {
		for _, v := range votes {
			if b.set.TwoThirds(b.power(row, &v.Text)) {
				return v.Text, true
			}
		}
	}
	return "", false
}

// For is the votes for a text in a round, one of each validator: a certificate, when they are a quorum.
func (b *Book) For(kind, round uint32, text string) (list []*Vote) {
	for _, votes := range b.votes[ballot{kind, round}] {
		for _, v := range votes {
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
