package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// environment is where and when a result was found.
type environment struct {
	When       string   `json:"when"`
	Command    string   `json:"command"`
	Processor  string   `json:"processor"`
	Processors int      `json:"processors"`
	MemoryMB   int      `json:"memory_mb"`
	Kernel     string   `json:"kernel"`
	Go         string   `json:"go"`
	Load       float64  `json:"load_average"`
	Busy       *float64 `json:"busy"` // absent from older results
}

// disturbed tells whether others used the machine when the run began. The load average, which older results have alone, also
// holds what the measurement before did.
func (e *environment) disturbed() bool {
	if e.Busy != nil {
		return *e.Busy > 0.15
	}
	return e.Load > 0.5*float64(e.Processors)
}

type percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

type usage struct {
	Name string  `json:"name"`
	CPU  float64 `json:"cpu_seconds"`
	RSS  float64 `json:"rss_mb"`
	Peak float64 `json:"peak_rss_mb"`
}

type loadRun struct {
	Note         string      `json:"note"`
	Target       string      `json:"target"`
	Kind         string      `json:"kind"`
	Model        string      `json:"model"`
	Rate         float64     `json:"rate"`
	Depth        int         `json:"depth"`
	Accounts     int         `json:"accounts"`
	Class        string      `json:"account_class"`
	Accepted     int         `json:"accepted_on_l2"`
	Unsent       int         `json:"unsent"`
	Seconds      float64     `json:"seconds"`
	Speed        float64     `json:"tx_per_second"`
	PerSecond    []int       `json:"accepted_per_second"`
	Answer       percentiles `json:"answer_ms"`
	PreConfirmed percentiles `json:"pre_confirmed_ms"`
	Accept       percentiles `json:"accepted_ms"`
	ToolCPU      float64     `json:"tool_cpu_seconds"`
	Processes    []usage     `json:"processes"`
}

type loads struct {
	environment
	Runs []loadRun `json:"runs"`
}

type side struct {
	Speed float64 `json:"tx_per_second"`
}

type execs struct {
	environment
	Runs []struct {
		Transactions int     `json:"transactions"`
		Workers      int     `json:"workers"`
		Engine       string  `json:"engine"`
		Plugin       side    `json:"plugin"`
		Bare         side    `json:"bare"`
		Ratio        float64 `json:"ratio"`
		Published    side    `json:"published"`
		Gain         float64 `json:"published_ratio"`
	} `json:"runs"`
}

type commits struct {
	environment
	Run struct {
		Leaves    int `json:"leaves"`
		Transfers int `json:"transfers"`
		Cores     int `json:"cores"`
		Ours      struct {
			MS float64 `json:"ms"`
		} `json:"ordo"`
		Gnark struct {
			MS float64 `json:"ms"`
		} `json:"gnark"`
		Ratio  float64 `json:"ratio"`
		Hashes []struct {
			Hash  string  `json:"hash"`
			By    string  `json:"by"`
			NS    float64 `json:"ns"`
			Ratio float64 `json:"ratio"`
		} `json:"hashes"`
		Not []string `json:"not_measured"`
	} `json:"run"`
}

type hops struct {
	environment
	Hops []struct {
		End    string  `json:"end"`
		TLS    bool    `json:"tls"`
		Batch  int     `json:"batch"`
		Bytes  int     `json:"request_bytes"`
		Micros float64 `json:"us_per_call"`
		P99    float64 `json:"us_per_call_p99"`
		PerTx  float64 `json:"us_per_transaction"`
	} `json:"hops"`
	Not []string `json:"not_measured"`
}

type starts struct {
	environment
	Cold start `json:"cold"`
	Warm start `json:"warm"`
}

type start struct {
	Median float64   `json:"median_ms"`
	All    []float64 `json:"all_ms"`
	Phases []struct {
		Until string  `json:"until"`
		MS    float64 `json:"ms"`
	} `json:"phases"`
}

type growth struct {
	environment
	State []struct {
		Keys    int     `json:"keys"`
		Speed   float64 `json:"tx_per_second"`
		P99     float64 `json:"accepted_p99_ms"`
		Disk    float64 `json:"disk_mb"`
		Storage float64 `json:"storage_cpu_ms_per_tx"`
		RSS     float64 `json:"storage_rss_mb"`
	} `json:"state"`
	Blocks []struct {
		Transactions int     `json:"transactions"`
		Execute      float64 `json:"execute_ms"`
		Seal         float64 `json:"seal_ms"`
		PerTx        float64 `json:"us_per_transaction"`
	} `json:"blocks"`
	Pool []struct {
		Waiting  int     `json:"waiting"`
		Admit    float64 `json:"admit_us"`
		Take     float64 `json:"take_us"`
		AdmitOwn float64 `json:"admit_own_us"`
		TakeOwn  float64 `json:"take_own_us"`
		MB       float64 `json:"heap_mb"`
	} `json:"pool"`
}

type heights struct {
	Count     int                `json:"count"`
	MS        percentiles        `json:"ms"`
	CPU       float64            `json:"cpu_ms_per_validator"`
	Processes map[string]float64 `json:"cpu_ms_per_process"`
}

type networks struct {
	environment
	Baseline string `json:"baseline"`
	Block    int    `json:"block_transactions"`
	Runs     []struct {
		Consensus  string  `json:"consensus"`
		Validators int     `json:"validators"`
		Empty      heights `json:"empty"`
		Full       heights `json:"full"`
		Load       struct {
			Speed  float64 `json:"tx_per_second"`
			P99    float64 `json:"accepted_p99_ms"`
			CPU    float64 `json:"cpu_ms_per_tx_and_validator"`
			Memory float64 `json:"memory_mb_per_validator"`
		} `json:"load"`
		Ratios *struct {
			Empty   float64 `json:"empty_p50"`
			Full    float64 `json:"full_p50"`
			Speed   float64 `json:"tx_per_second"`
			Allowed float64 `json:"full_allowed_ms"`
		} `json:"ratios"`
	} `json:"runs"`
	Not []string `json:"not_measured"`
}

// read decodes one result; false when it was not measured.
func read(dir, name string, into any) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "raw", name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return false, fmt.Errorf("raw/%s.json: %w", name, err)
	}
	return true, nil
}
