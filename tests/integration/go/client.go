// SPDX-License-Identifier: LGPL-2.1-or-later

// A client in another language: what varlink-go-interface-generator makes of io.kennel.varlink, on Debian's varlink-go.
// `client list ADDRESS` prints the names of all containers; `client events ADDRESS N` the kinds of the next N events,
// after the line "following"; `client describe ADDRESS` the interface description.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/varlink/go/varlink"
	"iokennel"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	ctx := context.Background()
	c, err := varlink.NewConnection(ctx, os.Args[2])
	must(err)
	defer c.Close()
	switch os.Args[1] {
	case "list":
		containers, err := iokennel.List().Call(ctx, c)
		must(err)
		for _, container := range containers {
			fmt.Println(container.Name, container.State)
		}
	case "events":
		n, err := strconv.Atoi(os.Args[3])
		must(err)
		follow := true
		receive, err := iokennel.Events().Send(ctx, c, varlink.More, nil, nil, &follow)
		must(err)
		fmt.Println("following")
		for ; n > 0; n-- {
			event, _, err := receive(ctx)
			must(err)
			fmt.Println(event.Kind, event.Name)
		}
	case "describe":
		text, err := c.GetInterfaceDescription(ctx, "io.kennel")
		must(err)
		fmt.Print(text)
	}
}
