// SPDX-License-Identifier: MIT

// Workloads of `bench` written with goroutines and channels. Prints one line of JSON for each. Times are wall times.
package main

import (
	"fmt"
	"runtime"
	"sort"
	"sync"
	"time"
)

func report(name string, n int, rounds int, run func(n int)) {
	run(n)
	times := make([]float64, rounds)
	for i := range times {
		runtime.GC()
		begin := time.Now()
		run(n)
		times[i] = float64(time.Since(begin).Nanoseconds()) / float64(n)
	}
	sort.Float64s(times)
	fmt.Printf("{\"name\": \"%s\", \"n\": %d, \"ns\": %.1f}\n", name, n, times[rounds/2])
}

// gather starts a goroutine for each child and keeps their values.
func gather(n int, child func(i int) int) {
	values := make([]int, n)
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i != n; i++ {
		go func(i int) {
			values[i] = child(i)
			all.Done()
		}(i)
	}
	all.Wait()
}

func pingPong(n int) {
	there, back := make(chan int), make(chan int)
	go func() {
		for i := range there {
			back <- i
		}
		close(back)
	}()
	for i := 0; i != n; i++ {
		there <- i
		<-back
	}
	close(there)
	<-back
}

func posts(n int) {
	letters := make(chan func(), 1024)
	seen := 0
	go func() {
		for i := 0; i != n; i++ {
			letters <- func() { seen++ }
		}
		close(letters)
	}()
	for call := range letters {
		call()
	}
}

func pool(n int) {
	type call struct {
		run    func() int
		result *int
	}
	calls := make(chan call, 1024)
	values := make([]int, n)
	var workers sync.WaitGroup
	workers.Add(2)
	for i := 0; i != 2; i++ {
		go func() {
			for c := range calls {
				*c.result = c.run()
			}
			workers.Done()
		}()
	}
	for i := range values {
		calls <- call{func() int { return 1 }, &values[i]}
	}
	close(calls)
	workers.Wait()
}

func main() {
	ready := func(i int) int { return i }
	yields := func(i int) int { runtime.Gosched(); return i }
	runtime.GOMAXPROCS(1)
	for _, n := range []int{1000, 100000} {
		report("gather, children ready", n, 15, func(n int) { gather(n, ready) })
		report("gather, each child yields once", n, 15, func(n int) { gather(n, yields) })
	}
	report("ping-pong of two loops, on one processor", 10000, 15, pingPong)
	runtime.GOMAXPROCS(2)
	report("ping-pong of two loops, on two", 10000, 15, pingPong)
	report("posts to a loop from another thread", 100000, 15, posts)
	report("calls on a pool of two threads", 100000, 15, pool)
}
