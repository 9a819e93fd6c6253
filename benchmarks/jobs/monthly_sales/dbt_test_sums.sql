select made.net, made.pieces
from (select sum(net_cents) as net, sum(quantity) as pieces from {{ ref('monthly_sales') }}) made,
     (select sum(net_cents) as net, sum(quantity) as pieces from {{ ref('fact_sales') }}) given
where made.net is distinct from given.net or made.pieces is distinct from given.pieces
