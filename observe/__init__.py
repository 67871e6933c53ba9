"""What people see of a line: the metrics' reference, dashboards, alerts, and the program that shows them at work.

reference                      docs/metrics.md, from the metrics in the code
panels, dashboards             the one definition of the dashboards
grafana, cloudwatch            what is made of it, in deploy/observe/
alarms, scaling                the plan's alarms, and when embedders are added and taken away
stacks                         what of them stands in deploy/stacks/
pictures                       the same drawn from a Prometheus, for docs/operating.md
servers, targets               Debian's Prometheus and Alertmanager, and what they scrape of a line
show                           `make observe`
"""
