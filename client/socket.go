package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

// Socket is a WebSocket to a node. Safe for concurrent use.
type Socket struct {
	ws   *websocket.Conn
	done chan struct{}

	mu    sync.Mutex
	next  int
	calls map[int]*call
	subs  map[string]func(Notification)
	err   error
}

// Notification is what the node tells of a subscription.
type Notification struct {
	Method       string
	Subscription string
	Result       json.RawMessage
}

type call struct {
	answer chan answer
	tell   func(Notification) // of the subscription that it makes; nil for other calls
}

type answer struct {
	result json.RawMessage
	err    error
}

// Socket connects to a path of the node, such as /ws.
func (n Node) Socket(ctx context.Context, path string) (*Socket, error) {
	url := "ws" + strings.TrimPrefix(strings.TrimSuffix(n.URL, "/"), "http") + path
	ws, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: n.HTTP, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("%s: status %d: %w", url, response.StatusCode, err)
		}
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	ws.SetReadLimit(-1)
	s := &Socket{ws: ws, done: make(chan struct{}), calls: map[int]*call{}, subs: map[string]func(Notification){}}
	go s.read()
	return s, nil
}

// Done is closed when the connection is at its end; Err then says why.
func (s *Socket) Done() <-chan struct{} { return s.done }

// Err is why the connection ended: a websocket.CloseError when the node said so.
func (s *Socket) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the connection.
func (s *Socket) Close() {
	_ = s.ws.Close(websocket.StatusNormalClosure, "")
	<-s.done
}

// Drop ends the connection without a word.
func (s *Socket) Drop() {
	_ = s.ws.CloseNow()
	<-s.done
}

func (s *Socket) read() {
	var err error
	for err == nil {
		var text []byte
		if _, text, err = s.ws.Read(context.Background()); err == nil {
			err = s.take(text)
		}
	}
	s.mu.Lock()
	s.err = err
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	for _, c := range calls {
		c.answer <- answer{err: err}
	}
	close(s.done)
}

// take hands a message to its call or its subscription.
func (s *Socket) take(text []byte) error {
	var m struct {
		ID     *int            `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *Error          `json:"error"`
		Method string          `json:"method"`
		Params struct {
			Subscription string          `json:"subscription_id"`
			Result       json.RawMessage `json:"result"`
		} `json:"params"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("the node sent %.200q: %w", text, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.ID == nil {
		tell := s.subs[m.Params.Subscription]
		if tell == nil {
			return nil // unsubscribed a moment ago
		}
		s.mu.Unlock()
		tell(Notification{m.Method, m.Params.Subscription, m.Params.Result})
		s.mu.Lock()
		return nil
	}
	c := s.calls[*m.ID]
	if c == nil {
		return fmt.Errorf("the node answered a question that was not put: %.200s", text)
	}
	delete(s.calls, *m.ID)
	if m.Error != nil {
		c.answer <- answer{err: m.Error}
		return nil
	}
	if c.tell != nil {
		var id string
		if err := json.Unmarshal(m.Result, &id); err != nil {
			return err
		}
		s.subs[id] = c.tell
	}
	c.answer <- answer{result: m.Result}
	return nil
}

// Call sends one request with named or positional parameters.
func (s *Socket) Call(ctx context.Context, method string, params, result any) error {
	raw, err := s.call(ctx, method, params, nil)
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

// Subscribe calls a subscribing method. What the node tells of the subscription is handed to tell, in order, on the goroutine that
// reads: the node cuts off a client whose tell is slow.
func (s *Socket) Subscribe(ctx context.Context, method string, params any, tell func(Notification)) (id string, err error) {
	raw, err := s.call(ctx, method, params, tell)
	if err != nil {
		return "", err
	}
	return id, json.Unmarshal(raw, &id)
}

// Unsubscribe ends a subscription.
func (s *Socket) Unsubscribe(ctx context.Context, id string) error {
	if err := s.Call(ctx, "starknet_unsubscribe", map[string]any{"subscription_id": id}, nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subs, id)
	return nil
}

func (s *Socket) call(ctx context.Context, method string, params any, tell func(Notification)) (json.RawMessage, error) {
	c := &call{answer: make(chan answer, 1), tell: tell}
	s.mu.Lock()
	if s.calls == nil {
		defer s.mu.Unlock()
		return nil, s.err
	}
	s.next++
	id := s.next
	s.calls[id] = c
	s.mu.Unlock()
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err == nil {
		err = s.ws.Write(ctx, websocket.MessageText, text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a := <-c.answer:
		return a.result, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, ctx.Err())
	}
}
