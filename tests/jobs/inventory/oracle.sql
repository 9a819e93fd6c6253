-- The tables of the job by its rules (jobs/inventory/README.md), written apart from its transforms.
create macro cents(t) as round(t::decimal(20, 6) * 100)::bigint;
create macro moment(t) as try_cast(t as timestamp);

create table placed as
select order_id, customer_id, happened, timezone(getvariable('zone'), timezone('UTC', happened)) as here,
       coalesce(lower(trim(status)), 'none') as state, total
from (
    select *, row_number() over (partition by order_id order by changed desc nulls last, happened desc,
               customer_id desc nulls last, status desc nulls last, total desc nulls last) as place
    from (select order_id, customer_id, moment(order_date) as happened, status, cents(total_amount) as total,
                 moment(updated_at) as changed from in_orders)
    where happened is not null)
where place = 1;

create table sold_lines as
select order_id, order_item_id, product_id, quantity, quantity * price - off as net
from (
    select *, row_number() over (partition by order_item_id order by changed desc nulls last, order_id desc,
               product_id desc, quantity desc, price desc, given desc nulls last) as place
    from (select order_id, order_item_id, product_id, try_cast(quantity as bigint) as quantity,
                 cents(unit_price) as price, cents(discount) as given, coalesce(cents(discount), 0) as off,
                 moment(updated_at) as changed
          from in_order_items)
    where quantity is not null and price is not null)
where place = 1 and quantity >= 1 and price >= 0 and off >= 0 and quantity * price >= off
  and order_id in (select order_id from placed);

create table counting as
select p.order_id, p.customer_id, p.happened, p.here::date as day, hour(p.here) as hour, count(s.order_id) as lines,
       coalesce(sum(quantity), 0)::bigint as pieces, coalesce(sum(net), 0)::bigint as value_cents
from placed p left join sold_lines s using (order_id)
where state in ('completed', 'delivered', 'paid', 'shipped') and happened <= getvariable('as_of')
group by all;

create table counting_lines as
select s.*, c.customer_id, c.day from sold_lines s join counting c using (order_id);

create view counted_orders as
select order_id, customer_id, happened, day, hour, lines, pieces, value_cents from counting;

create view sales_analytics as
select day, count(*), count(distinct customer_id), sum(lines)::bigint, sum(pieces)::bigint, sum(value_cents)::bigint,
       sum(value_cents)::bigint / count(*) from counting group by day;

create view peak_hours as
select h, orders, revenue, orders / (select count(*) from counting),
       row_number() over (order by orders desc, h), row_number() over (order by orders desc, h) = 1
from (select h, count(order_id) as orders, coalesce(sum(value_cents), 0)::bigint as revenue
      from range(24) r(h) left join counting on hour = h group by h);

create table by_customer as
with gaps as (
    select customer_id, epoch_us(happened) - epoch_us(lag(happened) over (partition by customer_id order by happened)) as gap
    from counting),
middle as (select customer_id, median(gap) / 86400000000 as median_days from gaps group by 1),
busy as (
    select customer_id, hour, row_number() over (partition by customer_id order by often desc, hour) as place
    from (select customer_id, hour, count(*) as often from counting group by 1, 2)),
sums as (
    select customer_id, count(*) as orders, sum(pieces)::bigint as pieces, sum(value_cents)::bigint as spent,
           min(happened) as first_at, max(happened) as last_at from counting group by 1),
everybody as (select distinct id as customer_id from in_customers union select customer_id from sums)
select e.customer_id, coalesce(orders, 0) as orders, coalesce(pieces, 0) as pieces, coalesce(spent, 0) as spent,
       spent / orders as mean_order, first_at, last_at,
       case when orders > 1 and e.customer_id is not null
            then (epoch_us(last_at) - epoch_us(first_at)) / 86400000000 / (orders - 1) end as mean_days,
       case when e.customer_id is not null then median_days end as median_days,
       case when e.customer_id is not null then hour end as peak_hour,
       case when e.customer_id is null then 'unknown' when orders is null then 'none' when orders >= 10 then 'frequent'
            when orders >= 3 then 'regular' else 'occasional' end as frequency,
       case when e.customer_id is null then 'unknown' when orders is null then 'none' when spent >= 100000 then 'high'
            when spent >= 20000 then 'medium' else 'low' end as spending,
       e.customer_id is not null and coalesce(orders, 0) >= 10 and coalesce(spent, 0) >= 100000 as vip
from everybody e
left join sums s on s.customer_id is not distinct from e.customer_id
left join middle m on m.customer_id is not distinct from e.customer_id
left join busy b on b.customer_id is not distinct from e.customer_id and b.place = 1;

create view order_analytics as from by_customer;

create view customer_segments as
select frequency, spending, vip, count(*), sum(orders)::bigint, sum(pieces)::bigint, sum(spent)::bigint,
       sum(spent)::bigint / nullif(sum(orders)::bigint, 0) from by_customer group by all;

create table things as
select product_id, name, cents(price) as price, cost from (
    select product_id, name, price, cents(cost) as cost, row_number() over (partition by product_id
           order by moment(updated_at) desc nulls last, cents(cost) desc nulls last) as place from in_products)
where place = 1;

create table halls as select location_id, name, try_cast(capacity as bigint) as capacity from in_inventory_locations;

create table held as
select product_id, location_id, quantity, counted from (
    select *, row_number() over (partition by product_id, location_id order by counted desc nulls last, quantity desc)
           as place
    from (select product_id, location_id, try_cast(quantity as bigint) as quantity, moment(last_updated) as counted
          from in_product_inventory)
    where quantity is not null)
where place = 1 and quantity >= 0;

create table of_product as
select product_id, sum(quantity)::bigint as pieces, sum(net)::bigint as revenue,
       coalesce(sum(quantity) filter (recent), 0)::bigint as now_pieces,
       coalesce(sum(net) filter (recent), 0)::bigint as now_revenue
from (select *, day > timezone(getvariable('zone'), timezone('UTC', getvariable('as_of')))::date - 90 as recent
      from counting_lines)
group by 1;

create table classes as
select product_id, case when now_revenue = 0 then 'C' when before * 100 < every * 80 then 'A'
                        when before * 100 < every * 95 then 'B' else 'C' end as class
from (select product_id, now_revenue, sum(now_revenue) over () as every,
             coalesce(sum(now_revenue) over (order by now_revenue desc, product_id
                      rows between unbounded preceding and 1 preceding), 0) as before
      from of_product);

create table shelves as
with weighted as (
    select h.*, l.capacity, l.location_id is not null as known, coalesce(o.now_pieces, 0) as wanted, t.cost,
           coalesce(c.class, 'C') as class,
           case when bool_and(coalesce(l.capacity > 0, false)) over (partition by h.product_id) then l.capacity else 1
           end as weight
    from held h left join halls l using (location_id) left join of_product o on o.product_id = h.product_id
    left join things t on t.product_id = h.product_id left join classes c on c.product_id = h.product_id),
shares as (
    select *, wanted * weight // sum(weight) over (partition by product_id) as part,
           wanted * weight % sum(weight) over (partition by product_id) as remainder
    from weighted),
parts as (
    select *, part + case when row_number() over (partition by product_id order by remainder desc, location_id)
                               <= wanted - sum(part) over (partition by product_id) then 1 else 0 end as demand
    from shares),
aged as (
    select *, counted > getvariable('as_of') as future,
           case when counted > getvariable('as_of') then 0
                else floor((epoch_us(getvariable('as_of')) - epoch_us(counted)) / 86400000000)::bigint end as days
    from parts)
select *, case when capacity > 0 then quantity / capacity end as used,
       case when capacity > 0 and days is not null
            then greatest(0, least(100, (1 - 2 * abs(quantity / capacity - 0.5)) * 100 - 2 * days)) end as score,
       case when not known then 'unknown location' when capacity is null then 'no capacity'
            when capacity <= 0 then 'capacity is not positive' when days is null then 'no time of update' end as why,
       ceil(demand * 14 / 90)::bigint as reorder, ceil(demand * 30 / 90)::bigint as optimal,
       ceil(demand * 90 / 90)::bigint as most
from aged;

create view inventory_analytics as
select product_id, location_id, quantity, capacity, used, counted, days, coalesce(future, false), score, why,
       quantity * cost, class, demand::bigint, quantity * 90 / nullif(demand, 0), reorder, optimal, most,
       case when quantity < reorder then optimal - quantity else 0 end, greatest(0, quantity - most)
from shelves;

create view warehouse_utilisation as
select location_id, name, products, quantity, capacity, case when capacity > 0 then quantity / capacity end, days,
       unknown, later,
       case when capacity > 0 and days is not null
            then greatest(0, least(100, (1 - 2 * abs(quantity / capacity - 0.5)) * 100 - 2 * days)) end,
       case when there is null then 'unknown location' when capacity is null then 'no capacity'
            when capacity <= 0 then 'capacity is not positive' when days is null then 'no time of update' end,
       worth, missing, over
from (select coalesce(l.location_id, s.location_id) as location_id, l.location_id as there, any_value(name) as name,
             any_value(l.capacity) as capacity, count(s.product_id) as products,
             coalesce(sum(quantity), 0)::bigint as quantity, min(days) as days,
             count(*) filter (s.product_id is not null and days is null) as unknown, count(*) filter (future) as later,
             coalesce(sum(quantity * cost), 0)::bigint as worth,
             coalesce(sum(case when quantity < reorder then optimal - quantity end), 0)::bigint as missing,
             coalesce(sum(greatest(0, quantity - most)), 0)::bigint as over
      from halls l full join shelves s on s.location_id = l.location_id group by 1, 2);

create table stocked as
select product_id, count(*) as places, sum(quantity)::bigint as quantity from held group by 1;

create table goods as
select product_id, t.name, t.product_id is not null as known, coalesce(places, 0) as places,
       coalesce(s.quantity, 0) as stock, coalesce(s.quantity, 0) * cost as worth, coalesce(o.pieces, 0) as pieces,
       coalesce(o.revenue, 0) as revenue, coalesce(now_pieces, 0) as now_pieces, coalesce(now_revenue, 0) as now_revenue,
       coalesce(class, 'C') as class
from things t full join stocked s using (product_id) full join of_product o using (product_id)
left join classes using (product_id);

create view turnover as
select product_id, known, places, stock, worth, pieces, revenue, now_pieces, now_revenue, now_pieces / nullif(stock, 0),
       now_pieces * 365 / nullif(stock * 90, 0), stock * 90 / nullif(now_pieces, 0), ceil(now_pieces * 14 / 90)::bigint,
       ceil(now_pieces * 30 / 90)::bigint, now_pieces,
       case when stock < ceil(now_pieces * 14 / 90) then ceil(now_pieces * 30 / 90)::bigint - stock else 0 end,
       greatest(0, stock - now_pieces), class
from goods;

create view business_insights as
select g.product_id, name, class, places, coalesce(short, 0), stock, worth, coalesce(missing, 0), coalesce(over, 0),
       lowest, coalesce(buyers, 0), g.pieces, g.revenue, coalesce(vip_revenue, 0), now_pieces,
       now_pieces / nullif(stock, 0), stock * 90 / nullif(now_pieces, 0)
from goods g
left join (select product_id, count(*) filter (quantity < reorder) as short, min(score) as lowest,
                  sum(case when quantity < reorder then optimal - quantity else 0 end)::bigint as missing,
                  sum(greatest(0, quantity - most))::bigint as over from shelves group by 1) s
       on s.product_id = g.product_id
left join (select product_id, count(distinct l.customer_id) as buyers,
                  coalesce(sum(net) filter (vip), 0)::bigint as vip_revenue
           from counting_lines l left join by_customer b on b.customer_id = l.customer_id group by 1) v
       on v.product_id = g.product_id;
