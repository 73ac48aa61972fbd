// Package licence turns activation codes into plans of devices (rules, section 5), and warns before a plan ends (PLAN-12). It owns codes and what
// they were used for; which plan is in force is package device's.
package licence
